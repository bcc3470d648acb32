//! How long a visitor waits for a picture over a link, and what a million of them cost.

use serde::Serialize;

/// A link to a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Link {
    /// What it is called.
    pub name: &'static str,
    /// Rate in Mbit/s.
    pub megabits: f64,
    /// Time from a request to the first byte of its answer, in milliseconds.
    pub round_trip_ms: f64,
}

/// The links of the report, slowest first.
pub const LINKS: [Link; 5] = [
    Link { name: "3G", megabits: 0.4, round_trip_ms: 400.0 },
    Link { name: "slow 4G", megabits: 1.6, round_trip_ms: 150.0 },
    Link { name: "4G", megabits: 5.0, round_trip_ms: 60.0 },
    Link { name: "Wi-Fi", megabits: 20.0, round_trip_ms: 20.0 },
    Link { name: "fibre", megabits: 100.0, round_trip_ms: 5.0 },
];

/// Bytes of an answer that are not the picture: its HTTP head.
pub const HEAD_BYTES: f64 = 200.0;

/// Bytes on the wire for each byte of data: full TCP segments, 1448 bytes of data in an Ethernet frame of 1514.
pub const FRAMING: f64 = 1514.0 / 1448.0;

impl Link {
    /// Seconds from the request for a file to its last byte, on a connection that is open and whose window is:
    /// a round trip, then the bytes at the link's rate. (A new connection adds handshakes, which are the same for
    /// every codec, and a slow start, which costs larger files more.)
    pub fn transfer(&self, bytes: f64) -> f64 {
        self.round_trip_ms / 1e3 + (bytes + HEAD_BYTES) * FRAMING * 8.0 / (self.megabits * 1e6)
    }
}

/// Rate in Mbit/s at which two codecs show a picture equally soon, of which one has `bytes` and takes `seconds` to
/// decode: the smaller file wins on slower links, the quicker decoder on faster ones. `None` where one of them wins
/// on all.
pub fn break_even(ours: (f64, f64), theirs: (f64, f64)) -> Option<f64> {
    let (fewer_bytes, more_seconds) = (theirs.0 - ours.0, ours.1 - theirs.1);
    let megabits = fewer_bytes * FRAMING * 8.0 / more_seconds / 1e6;
    (megabits > 0.0 && megabits.is_finite()).then_some(megabits)
}

/// Pictures after which a visitor who had to load `once` bytes first has received fewer bytes in all; `None` where
/// the code is no smaller than the other's file.
pub fn pictures_to_gain(once: f64, ours: f64, theirs: f64) -> Option<u64> {
    (ours < theirs).then(|| (once / (theirs - ours)).ceil() as u64)
}

/// What serving costs, in any currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prices {
    /// Price of a gigabyte (10⁹ bytes) sent.
    pub gigabyte: f64,
    /// Price of an hour of one core.
    pub core_hour: f64,
    /// How often a picture is sent for each time that it is encoded.
    pub views: f64,
}

/// A million pictures served.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Million {
    /// Gigabytes (10⁹ bytes) sent.
    pub gigabytes: f64,
    /// Processor seconds spent on encoding.
    pub core_seconds: f64,
    /// Price of both.
    pub price: f64,
}

impl Prices {
    /// A million pictures of so many bytes each, which take so many seconds of one core to encode.
    pub fn million(&self, bytes: f64, encode: f64) -> Million {
        let gigabytes = bytes * 1e6 / 1e9;
        let core_seconds = 1e6 * encode / self.views;
        let price = gigabytes * self.gigabyte + core_seconds / 3600.0 * self.core_hour;
        Million { gigabytes, core_seconds, price }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_a_round_trip_and_the_wire_bytes() {
        let link = Link { name: "test", megabits: 8.0, round_trip_ms: 100.0 };
        // A million wire bytes a second.
        assert!((link.transfer(1e6 / FRAMING - HEAD_BYTES) - 1.1).abs() < 1e-9);
    }

    #[test]
    fn at_the_break_even_rate_both_take_as_long() {
        let (ours, theirs) = ((20_000.0, 0.1), (30_000.0, 0.02));
        let megabits = break_even(ours, theirs).unwrap();
        let link = Link { name: "even", megabits, round_trip_ms: 30.0 };
        let difference = link.transfer(ours.0) + ours.1 - link.transfer(theirs.0) - theirs.1;
        assert!(difference.abs() < 1e-9, "{difference}");
        assert_eq!(break_even((20.0, 0.01), (30.0, 0.02)), None);
        assert_eq!(break_even((30.0, 0.1), (20.0, 0.02)), None);
    }

    #[test]
    fn a_decoder_is_earned_back_by_smaller_pictures_only() {
        assert_eq!(pictures_to_gain(1_500_000.0, 20_000.0, 30_000.0), Some(150));
        assert_eq!(pictures_to_gain(0.0, 20_000.0, 30_000.0), Some(0));
        assert_eq!(pictures_to_gain(1.0, 30_000.0, 30_000.0), None);
    }

    #[test]
    fn a_million_pictures_have_a_price() {
        let prices = Prices { gigabyte: 0.1, core_hour: 0.36, views: 10.0 };
        let million = prices.million(50_000.0, 0.1);
        assert!((million.gigabytes - 50.0).abs() < 1e-9 && (million.core_seconds - 10_000.0).abs() < 1e-9);
        assert!((million.price - 6.0).abs() < 1e-9, "{million:?}");
    }
}
