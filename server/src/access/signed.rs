//! Signed addresses: `PATH?…&expires=SECONDS&key=NAME&signature=HEX`, where the signature is the HMAC-SHA256 of
//! all that stands before `&signature=`.

use super::UrlKey;
use crate::error::ApiError;
use axum::extract::Query;
use axum::http::Uri;
use hmac::Mac;
use serde::Deserialize;

pub(super) struct Signature {
    /// Path and query, up to the signature.
    signed: String,
    expires: u64,
    key: String,
    mac: Vec<u8>,
}

#[derive(Deserialize)]
struct Terms {
    expires: u64,
    key: String,
}

impl Signature {
    /// That of an address; `None` where it has none.
    pub(super) fn of(uri: &Uri) -> Result<Option<Signature>, ApiError> {
        let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
        let Some((signed, mac)) = whole.split_once("&signature=") else { return Ok(None) };
        let terms = signed.parse::<Uri>().ok().and_then(|uri| Query::<Terms>::try_from_uri(&uri).ok());
        let (Some(Query(Terms { expires, key })), Ok(mac)) = (terms, hex::decode(mac)) else {
            return Err(ApiError::WrongSignature);
        };
        Ok(Some(Signature { signed: signed.to_owned(), expires, key, mac }))
    }

    /// Seconds for which the address holds from `now` on, both since 1970.
    pub(super) fn verify(&self, keys: &[UrlKey], now: u64) -> Result<u64, ApiError> {
        let key = keys.iter().find(|key| key.name == self.key).ok_or(ApiError::WrongSignature)?;
        // In constant time.
        key.mac(&self.signed).verify_slice(&self.mac).map_err(|_| ApiError::WrongSignature)?;
        match self.expires.checked_sub(now) {
            Some(left) if left > 0 => Ok(left),
            _ => Err(ApiError::Expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(address: &str, keys: &[UrlKey], now: u64) -> Result<u64, ApiError> {
        Signature::of(&address.parse().unwrap()).and_then(|found| found.unwrap().verify(keys, now))
    }

    #[test]
    fn signatures_hold_for_their_address_their_time_and_their_key() {
        let old: UrlKey = "old:0123456789abcdef0123456789abcdef".parse().unwrap();
        let new: UrlKey = "new:fedcba9876543210fedcba9876543210".parse().unwrap();
        let keys = [old.clone(), new.clone()];
        for path in ["/v1/images/ab.webp", "/v1/images/ab?w=640"] {
            // Both are good while keys are changed.
            for key in &keys {
                let address = key.sign(path, 1000);
                assert_eq!(verify(&address, &keys, 400).unwrap(), 600);
                assert!(matches!(verify(&address, &keys, 1000), Err(ApiError::Expired)));
                let longer = address.replace("expires=1000", "expires=2000");
                assert!(matches!(verify(&longer, &keys, 400), Err(ApiError::WrongSignature)));
                let other = address.replace("/ab", "/cd");
                assert!(matches!(verify(&other, &keys, 400), Err(ApiError::WrongSignature)));
            }
            let retired = old.sign(path, 1000);
            assert!(matches!(
                verify(&retired, std::slice::from_ref(&new), 400),
                Err(ApiError::WrongSignature)
            ));
            assert!(matches!(verify(&(retired + "0"), &keys, 400), Err(ApiError::WrongSignature)));
        }
        assert!(Signature::of(&"/v1/images/ab?w=3".parse().unwrap()).unwrap().is_none());
        assert!(Signature::of(&"/v1/images/ab?w=3&signature=00".parse().unwrap()).is_err());
    }

    #[test]
    fn the_signature_is_the_hmac_of_what_stands_before_it() {
        let key: UrlKey = "k:0123456789abcdef0123456789abcdef".parse().unwrap();
        // printf %s '/v1/images/ab?expires=9&key=k' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let mac = "a0688e4aa3595ef1169b757e380ba59fec9c042cb09572602e4d5e1ab3819abd";
        assert_eq!(key.sign("/v1/images/ab", 9), format!("/v1/images/ab?expires=9&key=k&signature={mac}"));
    }
}
