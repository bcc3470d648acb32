//! Entropy coding: a range coder over integer tables. FORMAT.md, section 6.

#[cfg(feature = "nn")]
use {
    constriction::BitArray,
    constriction::stream::model::{EncoderModel, EntropyModel},
    constriction::stream::{Encode, queue::DefaultRangeEncoder},
    std::borrow::Borrow,
    std::num::NonZeroU32,
};

/// Bits of a table: its counts sum to 2^16.
pub(crate) const PRECISION: usize = 16;
/// Escapes reach this far beyond a table's ends: values stay within i16.
const ESCAPE_BITS: u32 = 15;

/// A distribution over the integers `first ..= first + len − 1` and, last, an escape where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    first: i16,
    /// Cumulative counts: one more entry than there are symbols, from 0 to 2^16.
    cumulative: Vec<u32>,
    escape: bool,
    /// For each of 256 equal parts of 0..2^16, the symbol that its first value falls in.
    lookup: Vec<u16>,
    likeliest: Part,
}

/// A symbol's index, and its part of 0..2^16: where it begins, and how much it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    index: usize,
    left: u32,
    count: u32,
}

impl Table {
    /// From counts, the last being the escape's if `escape`. The error says what is wrong with them.
    pub(crate) fn new(first: i16, counts: &[u16], escape: bool) -> Result<Table, String> {
        let symbols = counts.len() - usize::from(escape && !counts.is_empty());
        if symbols == 0 || symbols > 4096 || i32::from(first) + symbols as i32 > i32::from(i16::MAX) {
            return Err(format!("a table of {symbols} symbols from {first} is out of range"));
        }
        if counts.contains(&0) {
            return Err("a table has a count of 0".into());
        }
        let mut cumulative = Vec::with_capacity(counts.len() + 1);
        let mut sum = 0u32;
        cumulative.push(0);
        for &count in counts {
            sum += u32::from(count);
            cumulative.push(sum);
        }
        if sum != 1 << PRECISION {
            return Err(format!("a table's counts sum to {sum}, not {}", 1 << PRECISION));
        }
        let mut index = 0;
        let lookup = (0..256u32).map(|part| {
            while cumulative[index + 1] <= part << 8 {
                index += 1;
            }
            index as u16
        });
        let lookup = lookup.collect();
        let parts = counts.iter().enumerate().map(|(index, &count)| {
            let left = cumulative[index];
            Part { index, left, count: count.into() }
        });
        let likeliest = parts.max_by_key(|part| part.count).expect("there are symbols");
        Ok(Table { first, cumulative, escape, lookup, likeliest })
    }

    /// The symbol whose part of 0..2^16 `quantile` falls in.
    #[inline]
    fn part(&self, quantile: u16) -> Part {
        let quantile = u32::from(quantile);
        let mut index = usize::from(self.lookup[(quantile >> 8) as usize]);
        while self.cumulative[index + 1] <= quantile {
            index += 1;
        }
        let left = self.cumulative[index];
        Part { index, left, count: self.cumulative[index + 1] - left }
    }

    /// Whether all values that need no escape are within ±`bound`.
    pub(crate) fn within(&self, bound: i16) -> bool {
        self.first >= -bound && self.last() <= bound
    }

    /// The last value that needs no escape.
    fn last(&self) -> i16 {
        self.first + (self.cumulative.len() - 2 - usize::from(self.escape)) as i16
    }

    /// The nearest value that the table holds.
    #[cfg(feature = "nn")]
    pub(crate) fn clamp(&self, value: i32) -> i16 {
        value.clamp(i32::from(self.first), i32::from(self.last())) as i16
    }

    #[cfg(feature = "nn")]
    fn index(&self, value: i16) -> usize {
        if value < self.first || value > self.last() {
            self.cumulative.len() - 2
        } else {
            (i32::from(value) - i32::from(self.first)) as usize
        }
    }

    /// What coding `value` costs under this table, in bits, its escape included.
    #[cfg(feature = "nn")]
    pub(crate) fn bits(&self, value: i16) -> f64 {
        let index = self.index(value);
        let count = self.cumulative[index + 1] - self.cumulative[index];
        let beyond = (value < self.first || value > self.last()).then(|| escape_bits(self.beyond(value)));
        PRECISION as f64 - f64::from(count).log2() + beyond.unwrap_or(0.0)
    }

    /// Distance beyond the table, from 0, and on which side.
    #[cfg(feature = "nn")]
    fn beyond(&self, value: i16) -> (u32, bool) {
        if value < self.first {
            ((i32::from(self.first) - 1 - i32::from(value)) as u32, true)
        } else {
            ((i32::from(value) - i32::from(self.last()) - 1) as u32, false)
        }
    }
}

#[cfg(feature = "nn")]
fn escape_bits((distance, _): (u32, bool)) -> f64 {
    f64::from(2 * (distance + 1).ilog2() + 2)
}

#[cfg(feature = "nn")]
impl EntropyModel<PRECISION> for &Table {
    type Symbol = usize;
    type Probability = u32;
}

#[cfg(feature = "nn")]
impl EncoderModel<PRECISION> for &Table {
    fn left_cumulative_and_probability(&self, symbol: impl Borrow<usize>) -> Option<(u32, NonZeroU32)> {
        let &index = symbol.borrow();
        let left = *self.cumulative.get(index)?;
        Some((left, (*self.cumulative.get(index + 1)? - left).into_nonzero()?))
    }
}

/// A fair bit, for escapes.
#[cfg(feature = "nn")]
struct Bit;

#[cfg(feature = "nn")]
impl EntropyModel<PRECISION> for Bit {
    type Symbol = bool;
    type Probability = u32;
}

#[cfg(feature = "nn")]
const HALF: NonZeroU32 = NonZeroU32::new(1 << (PRECISION - 1)).unwrap();

#[cfg(feature = "nn")]
impl EncoderModel<PRECISION> for Bit {
    fn left_cumulative_and_probability(&self, symbol: impl Borrow<bool>) -> Option<(u32, NonZeroU32)> {
        Some((u32::from(*symbol.borrow()) << (PRECISION - 1), HALF))
    }
}

/// Writes one strip's symbols.
#[cfg(feature = "nn")]
#[derive(Default)]
pub(crate) struct Encoder {
    coder: DefaultRangeEncoder,
}

#[cfg(feature = "nn")]
impl Encoder {
    /// Appends `value`; a table without escape must hold it.
    pub(crate) fn put(&mut self, value: i16, table: &Table) {
        let index = table.index(value);
        self.coder.encode_symbol(index, table).expect("every index has a count, and memory does not fail");
        if table.escape && index == table.cumulative.len() - 2 {
            let (distance, below) = table.beyond(value);
            self.put_bit(below);
            // Exponential Golomb code of order 0 (Teuhola 1978).
            let length = (distance + 1).ilog2();
            (0..length).for_each(|_| self.put_bit(true));
            self.put_bit(false);
            (0..length).rev().for_each(|bit| self.put_bit((distance + 1) >> bit & 1 == 1));
        }
    }

    fn put_bit(&mut self, bit: bool) {
        self.coder.encode_symbol(bit, Bit).expect("both bits can be coded, and memory does not fail");
    }

    /// The strip's bytes: the coder's 32-bit words, big-endian, without the zero bytes at the end.
    pub(crate) fn finish(self) -> Vec<u8> {
        let words = self.coder.into_compressed().expect("memory does not fail");
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes
    }
}

/// Reads one strip's symbols: FORMAT.md, section 6.3. What constriction's `DefaultRangeDecoder` does, which tests hold it
/// against; but likely symbols cost no division.
pub(crate) struct Decoder<'a> {
    /// Bytes that have not been read.
    rest: &'a [u8],
    /// How far the data's number lies above the lower end of the interval.
    offset: u64,
    /// Size of the interval.
    range: u64,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Decoder<'a> {
        let mut decoder = Decoder { rest: bytes, offset: 0, range: u64::MAX };
        decoder.offset = decoder.word() << 32;
        decoder.offset |= decoder.word();
        decoder
    }

    /// The next word; zeros follow the data.
    #[inline]
    fn word(&mut self) -> u64 {
        let mut word = [0; 4];
        match self.rest.split_first_chunk() {
            Some((whole, rest)) => (word, self.rest) = (*whole, rest),
            None => word[..self.rest.len()].copy_from_slice(std::mem::take(&mut self.rest)),
        }
        u32::from_be_bytes(word).into()
    }

    /// The next value under `table`; the error says what is wrong with the data.
    #[inline(always)]
    pub(crate) fn get(&mut self, table: &Table) -> Result<i16, &'static str> {
        let scale = self.range >> PRECISION;
        let likeliest = table.likeliest;
        let above = self.offset.wrapping_sub(scale * u64::from(likeliest.left));
        let part = if above < scale * u64::from(likeliest.count) {
            likeliest
        } else {
            let quantile = u16::try_from(self.offset / scale).map_err(|_| DAMAGED)?;
            table.part(quantile)
        };
        self.narrow(scale, part);
        if table.escape && part.index == table.cumulative.len() - 2 {
            return self.escaped(table);
        }
        Ok(table.first + part.index as i16)
    }

    /// Leaves of the interval, whose 2^16th is `scale`, the part that has been read.
    #[inline]
    fn narrow(&mut self, scale: u64, part: Part) {
        self.offset -= scale * u64::from(part.left);
        self.range = scale * u64::from(part.count);
        if self.range < 1 << 32 {
            self.range <<= 32;
            self.offset = self.offset << 32 | self.word();
        }
    }

    /// What follows an escape.
    #[cold]
    fn escaped(&mut self, table: &Table) -> Result<i16, &'static str> {
        let below = self.get_bit()?;
        let mut length = 0;
        while self.get_bit()? {
            length += 1;
            if length > ESCAPE_BITS {
                return Err("an escaped symbol is out of range");
            }
        }
        let mut distance = 1u32;
        for _ in 0..length {
            distance = distance << 1 | u32::from(self.get_bit()?);
        }
        let distance = distance as i32 - 1;
        let value = if below {
            i32::from(table.first) - 1 - distance
        } else {
            i32::from(table.last()) + 1 + distance
        };
        i16::try_from(value).map_err(|_| "an escaped symbol is out of range")
    }

    fn get_bit(&mut self) -> Result<bool, &'static str> {
        let scale = self.range >> PRECISION;
        let quantile = u16::try_from(self.offset / scale).map_err(|_| DAMAGED)?;
        let bit = quantile >> (PRECISION - 1) != 0;
        let count = 1 << (PRECISION - 1);
        self.narrow(scale, Part { index: bit.into(), left: u32::from(bit) * count, count });
        Ok(bit)
    }

    /// Whether all bytes have been used: some are left over only in a damaged strip.
    pub(crate) fn finish(self) -> Result<(), &'static str> {
        // As much as an encoder may leave open, or all where there was nothing to read.
        let ended = self.offset < (1 << 33) - 1 || self.range == u64::MAX;
        if self.rest.is_empty() && ended { Ok(()) } else { Err("data is left over after the last symbol") }
    }
}

const DAMAGED: &str = "the entropy-coded data is damaged";

#[cfg(all(test, feature = "nn"))]
mod tests {
    use super::*;
    use constriction::stream::Decode;
    use constriction::stream::model::DecoderModel;
    use constriction::stream::queue::DefaultRangeDecoder;
    use proptest::prelude::*;

    impl DecoderModel<PRECISION> for &Table {
        fn quantile_function(&self, quantile: u32) -> (usize, u32, NonZeroU32) {
            let part = self.part(quantile as u16);
            (part.index, part.left, NonZeroU32::new(part.count).unwrap())
        }
    }

    fn tables() -> [Table; 3] {
        [
            Table::new(-1, &[1, 65532, 1, 2], true).unwrap(),
            Table::new(-3, &[100, 1000, 20000, 23336, 20000, 1000, 100], false).unwrap(),
            Table::new(0, &[32768, 32768], false).unwrap(),
        ]
    }

    #[test]
    fn counts_must_fill_the_table() {
        assert!(Table::new(0, &[1, 2], false).is_err());
        assert!(Table::new(0, &[0, 65535, 1], false).is_err());
        assert!(Table::new(0, &[], true).is_err());
        assert!(Table::new(i16::MAX, &[32768, 32768], false).is_err());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(values in prop::collection::vec((0usize..3, any::<i16>()), 0..400)) {
            let tables = tables();
            let values: Vec<(usize, i16)> = values.into_iter().map(|(t, v)| {
                (t, if tables[t].escape { v / 2 } else { tables[t].clamp(i32::from(v)) })
            }).collect();
            let mut encoder = Encoder::default();
            let mut bits = 0.0;
            for &(t, v) in &values {
                bits += tables[t].bits(v);
                encoder.put(v, &tables[t]);
            }
            let bytes = encoder.finish();
            // Invariant 7: what is computed is what is coded.
            prop_assert!(bytes.len() as f64 <= bits / 8.0 * 1.005 + 32.0);
            let mut decoder = Decoder::new(&bytes);
            for &(t, v) in &values {
                prop_assert_eq!(decoder.get(&tables[t]).unwrap(), v);
            }
            decoder.finish().unwrap();
        }

        #[test]
        fn it_reads_what_constriction_reads(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let tables = tables().map(|mut table| { table.escape = false; table });
            let words: Vec<u32> = bytes.chunks(4).map(|chunk| {
                let mut word = [0; 4];
                word[..chunk.len()].copy_from_slice(chunk);
                u32::from_be_bytes(word)
            }).collect();
            let mut expected = DefaultRangeDecoder::from_compressed(words).unwrap();
            let mut found = Decoder::new(&bytes);
            for table in tables.iter().cycle().take(1000) {
                let symbol = expected.decode_symbol(table).map_err(|_| DAMAGED);
                let symbol = symbol.map(|index| table.first + index as i16);
                prop_assert_eq!(found.get(table), symbol);
                prop_assert_eq!(Decoder { ..found }.finish().is_ok(), expected.maybe_exhausted());
                if symbol.is_err() {
                    break;
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let tables = tables();
            let mut decoder = Decoder::new(&bytes);
            for k in 0..1000 {
                if decoder.get(&tables[k % 3]).is_err() {
                    break;
                }
            }
        }
    }
}
