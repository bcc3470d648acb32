use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Shortest secret that signs, in bytes.
const SHORTEST_SECRET: usize = 32;

/// A key that is not written as it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not two parts.
    #[error("a key is written NAME:VALUE, where the name has letters, digits, - and _ only")]
    Form,
    /// Of an API key the hash is kept, and this is none.
    #[error("the API key {name:?} must be given by its SHA-256, in 64 hexadecimal digits")]
    Hash {
        /// The key's name.
        name: String,
    },
    /// A secret that could be guessed.
    #[error("the secret of the URL key {name:?} is shorter than {SHORTEST_SECRET} bytes")]
    Short {
        /// The key's name.
        name: String,
    },
}

/// What is kept of an API key: its name, and the SHA-256 of what clients show. As text `NAME:SHA256`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub(super) name: String,
    pub(super) hash: [u8; 32],
}

impl ApiKey {
    /// Of the key that clients show. It must be random: a plain hash protects no password.
    pub fn new(name: &str, key: &str) -> ApiKey {
        ApiKey { name: name.to_owned(), hash: Sha256::digest(key).into() }
    }
}

impl FromStr for ApiKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<ApiKey, KeyError> {
        let (name, value) = parts(text)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(value, &mut hash).map_err(|_| KeyError::Hash { name: name.clone() })?;
        Ok(ApiKey { name, hash })
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, hex::encode(self.hash))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.name)
    }
}

/// A secret that signs addresses of images. As text `NAME:SECRET`; it is never written.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlKey {
    pub(super) name: String,
    secret: Vec<u8>,
}

impl UrlKey {
    /// The address `path`, which may have a query, made good until `expires`, in seconds since 1970.
    pub fn sign(&self, path: &str, expires: u64) -> String {
        let mark = if path.contains('?') { '&' } else { '?' };
        let signed = format!("{path}{mark}expires={expires}&key={}", self.name);
        let signature = hex::encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}&signature={signature}")
    }

    pub(super) fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

impl FromStr for UrlKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<UrlKey, KeyError> {
        let (name, value) = parts(text)?;
        if value.len() < SHORTEST_SECRET {
            return Err(KeyError::Short { name });
        }
        Ok(UrlKey { name, secret: value.as_bytes().to_owned() })
    }
}

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UrlKey({})", self.name)
    }
}

fn parts(text: &str) -> Result<(String, &str), KeyError> {
    let (name, value) = text.trim().split_once(':').ok_or(KeyError::Form)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(KeyError::Form);
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_text_and_show_no_secret() {
        let key = ApiKey::new("shop", "correct horse");
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "ApiKey(shop)");
        let secret = "0123456789abcdef0123456789abcdef";
        let url_key: UrlKey = format!(" 2026-a:{secret}\n").parse().unwrap();
        assert_eq!(format!("{url_key:?}"), "UrlKey(2026-a)");
        assert_eq!("shop:secret".parse::<ApiKey>(), Err(KeyError::Hash { name: "shop".to_owned() }));
        assert_eq!("a:short".parse::<UrlKey>(), Err(KeyError::Short { name: "a".to_owned() }));
        for text in ["", "shop", ":abc", "a b:c"] {
            assert_eq!(text.parse::<ApiKey>(), Err(KeyError::Form));
            let error = text.parse::<UrlKey>().unwrap_err();
            assert_eq!(error, KeyError::Form);
        }
    }
}
