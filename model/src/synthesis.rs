//! g_s by strips: rows of ŷ in, rows of pixels out. FORMAT.md, section 7.

use crate::plain::{Map, Scratch};
use crate::weights::Model;
use bottleneck_proto::Quality;

/// Runs g_s on the rows of one strip with a halo from its neighbours, so that strips equal the whole.
pub(crate) struct Synthesis<'a> {
    model: &'a Model,
    position: f32,
    halo: usize,
}

impl<'a> Synthesis<'a> {
    pub(crate) fn new(model: &'a Model, quality: Quality) -> Synthesis<'a> {
        let halo = model.architecture.synthesis().halo();
        Synthesis { model, position: crate::quality::position(quality), halo }
    }

    /// RGB of `pixels` (width, rows) from the strip's ŷ and those of its neighbours, where it has any.
    pub(crate) fn strip(
        &self,
        above: Option<&Map>,
        strip: &Map,
        below: Option<&Map>,
        (width, rows): (usize, usize),
        scratch: &mut Scratch,
    ) -> Vec<u8> {
        let mut rgb = vec![0; width * rows * 3];
        let halo_above = above.map_or(0, |m| m.dims.h.min(self.halo));
        let halo_below = below.map_or(0, |m| m.dims.h.min(self.halo));
        let networks = &self.model.networks;
        if halo_above + halo_below == 0 {
            networks.picture("synthesis", strip, self.position, scratch, (0, width), &mut rgb);
            return rgb;
        }
        let mut input = scratch.map(halo_above + strip.dims.h + halo_below, strip.dims.w, strip.dims.c);
        let mut rest = &mut input.data[..];
        let mut append = |map: &Map, rows: std::ops::Range<usize>| {
            let stride = map.dims.w * map.dims.c;
            let (out, others) = std::mem::take(&mut rest).split_at_mut(rows.len() * stride);
            out.copy_from_slice(&map.data[rows.start * stride..rows.end * stride]);
            rest = others;
        };
        if let Some(map) = above {
            append(map, map.dims.h - halo_above..map.dims.h);
        }
        append(strip, 0..strip.dims.h);
        if let Some(map) = below {
            append(map, 0..halo_below);
        }
        let at = (halo_above * 16, width);
        networks.picture("synthesis", &input, self.position, scratch, at, &mut rgb);
        scratch.give(input);
        rgb
    }
}
