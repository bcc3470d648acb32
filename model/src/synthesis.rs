//! g_s by strips: rows of ŷ in, rows of pixels out. FORMAT.md, section 7.

use crate::pixels::from_network;
use crate::plain::Map;
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
    ) -> Vec<u8> {
        let halo_above = above.map_or(0, |m| m.dims.h.min(self.halo));
        let halo_below = below.map_or(0, |m| m.dims.h.min(self.halo));
        let mut input = Map::zeros(0, strip.dims.w, strip.dims.c);
        input.dims.h = halo_above + strip.dims.h + halo_below;
        input.data.reserve_exact(input.dims.len());
        let parts = [
            above.map(|m| m.rows(m.dims.h - halo_above..m.dims.h)),
            Some(strip.clone()),
            below.map(|m| m.rows(0..halo_below)),
        ];
        parts.into_iter().flatten().for_each(|part| input.data.extend_from_slice(&part.data));

        let picture = self.model.networks.run("synthesis", &[&input], self.position);
        let stride = picture.dims.w * 3;
        let first = halo_above * 16;
        let mut rgb = Vec::with_capacity(width * rows * 3);
        for row in picture.data[first * stride..].chunks_exact(stride).take(rows) {
            rgb.extend(row[..width * 3].iter().map(|&v| from_network(v)));
        }
        rgb
    }
}
