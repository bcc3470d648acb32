use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Names an image: the SHA-256 of its code, as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ImageId([u8; 32]);

impl ImageId {
    pub(crate) fn of(code: &[u8]) -> ImageId {
        ImageId(Sha256::digest(code).into())
    }

    /// The code's entity tag, as [`crate::etag::of`] makes it.
    pub(crate) fn tag(&self) -> String {
        format!("\"{}\"", &self.to_string()[..32])
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for ImageId {
    type Err = ();

    /// Takes lower case only, so that an image has one address.
    fn from_str(text: &str) -> Result<ImageId, ()> {
        let mut id = [0; 32];
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(());
        }
        hex::decode_to_slice(text, &mut id).map_err(drop)?;
        Ok(ImageId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etag;

    #[test]
    fn the_id_is_the_sha_256_and_the_tag_that_of_the_bytes() {
        let id = ImageId::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.tag(), etag::of(b"abc"));
    }

    #[test]
    fn other_texts_are_no_ids() {
        let good = ImageId::of(b"").to_string();
        for bad in ["", "ab", &good[1..], &format!("{good}0"), &good.to_uppercase(), &good.replace('e', "g")]
        {
            assert_eq!(bad.parse::<ImageId>(), Err(()), "{bad}");
        }
    }
}
