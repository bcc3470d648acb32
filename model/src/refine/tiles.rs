//! The tiles that a strip is refined in: the graph of one bounds the memory.

use crate::kernels::Dims;
use crate::plain::Map;
use std::ops::Range;

/// Largest side of a tile, in cells of 16 pixels.
const TILE: usize = 48;
/// Cells around a tile that are seen and not changed.
const MARGIN: usize = 4;

/// Cells that are changed, and those that are seen.
pub(super) struct Tile {
    pub(super) own: [Range<usize>; 2],
    pub(super) seen: [Range<usize>; 2],
}

/// Splits a strip's map into tiles of about equal size.
pub(super) fn tiles(dims: Dims) -> Vec<Tile> {
    let split = |length: usize| -> Vec<Range<usize>> {
        let count = length.div_ceil(TILE);
        // Even borders: the coding steps follow a 2×2 pattern.
        let border = |i: usize| if i == count { length } else { (length * i / count).next_multiple_of(2) };
        (0..count).map(|i| border(i)..border(i + 1)).collect()
    };
    let seen =
        |own: &Range<usize>, length: usize| own.start.saturating_sub(MARGIN)..(own.end + MARGIN).min(length);
    let (rows, columns) = (split(dims.h), split(dims.w));
    let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
    pairs
        .map(|(row, column)| Tile {
            own: [row.clone(), column.clone()],
            seen: [seen(row, dims.h), seen(column, dims.w)],
        })
        .collect()
}

/// The part of a map that a tile sees.
pub(super) fn crop(map: &Map, tile: &Tile) -> Map {
    let [rows, columns] = &tile.seen;
    let (w, c) = (map.dims.w, map.dims.c);
    let part = |row: usize| &map.data[(row * w + columns.start) * c..(row * w + columns.end) * c];
    Map {
        dims: Dims { h: rows.len(), w: columns.len(), c },
        data: rows.clone().flat_map(|row| part(row).iter().copied()).collect(),
    }
}

/// Puts a tile's own cells into `map`.
pub(super) fn paste(values: &Map, tile: &Tile, map: &mut Map) {
    let ([own_rows, own_columns], [seen_rows, seen_columns]) = (&tile.own, &tile.seen);
    let c = map.dims.c;
    for row in own_rows.clone() {
        let from = ((row - seen_rows.start) * values.dims.w + own_columns.start - seen_columns.start) * c;
        let to = (row * map.dims.w + own_columns.start) * c;
        map.data[to..to + own_columns.len() * c]
            .copy_from_slice(&values.data[from..from + own_columns.len() * c]);
    }
}
