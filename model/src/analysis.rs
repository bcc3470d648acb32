//! g_a and h_a, by strips with a halo: on a CPU through the decoder's interpreter, on a GPU in candle.

use crate::encode::Strip;
use crate::network::Network;
use crate::nn::{self, Parameters};
use crate::pixels::to_network;
use crate::plain::{Map, Networks, Scratch};
use crate::{Architecture, WeightsError};
use bottleneck_proto::STRIP_ROWS;
use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// The encoder's networks, and what runs them.
pub(crate) enum Transforms {
    /// This machine's processor.
    Plain(Networks),
    /// A device of candle's.
    Candle {
        /// Layer lists of g_a and h_a.
        networks: Vec<Network>,
        parameters: Parameters,
        device: Device,
    },
}

impl Transforms {
    /// Brings the parameters of `networks`, which `values` gives by name and shape, to `device`.
    pub(crate) fn candle(
        networks: Vec<Network>,
        device: Device,
        values: impl Fn(&str, &[usize]) -> std::result::Result<Vec<f32>, WeightsError>,
    ) -> std::result::Result<Transforms, WeightsError> {
        let parameters = nn::parameters(&networks, &device, values)?;
        Ok(Transforms::Candle { networks, parameters, device })
    }

    /// Runs a network on maps of one size, each at its own position (0..=1) on the rate scale.
    fn run(&self, name: &str, maps: &[Map], positions: &[f32]) -> Result<Vec<Map>> {
        let (networks, parameters, device) = match self {
            Transforms::Plain(networks) => {
                let alone = |(map, &position): (&Map, &f32)| {
                    networks.run(name, &[map], position, &mut Scratch::default())
                };
                return Ok(maps.iter().zip(positions).map(alone).collect());
            }
            Transforms::Candle { networks, parameters, device } => (networks, parameters, device),
        };
        let Some(dims) = maps.first().map(|map| map.dims) else { return Ok(vec![]) };
        let data: Vec<f32> = maps.iter().flat_map(|map| map.data.iter().copied()).collect();
        let x = Tensor::from_vec(data, (maps.len(), dims.h, dims.w, dims.c), device)?;
        let network = networks.iter().find(|n| n.name == name).expect("an encoder's network");
        let out = nn::run(network, parameters, &x, &nn::knot_weights(positions, device)?)?;
        (0..maps.len()).map(|i| map(&out.narrow(0, i, 1)?)).collect()
    }
}

/// The encoder's networks at work on strips.
pub(crate) struct Analysis<'a> {
    transforms: &'a Transforms,
    /// Rows above and below a strip that its latents depend on, a multiple of 16.
    halo: usize,
}

/// Sizes of a strip's tensors. Strips of one shape can be one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Rows and columns of pixels, halo and padding included.
    rows: usize,
    columns: usize,
    /// Rows of y, without the halo.
    y_rows: usize,
}

impl<'a> Analysis<'a> {
    pub(crate) fn new(architecture: &Architecture, transforms: &'a Transforms) -> Analysis<'a> {
        Analysis { transforms, halo: architecture.analysis().halo().next_multiple_of(16) }
    }

    pub(crate) fn shape(&self, strip: &Strip<'_>) -> Shape {
        let (own, seen) = self.rows(strip);
        Shape {
            rows: seen.len().next_multiple_of(16),
            columns: (strip.image().width as usize).next_multiple_of(16),
            y_rows: own.len().div_ceil(16),
        }
    }

    /// The picture's rows that a strip codes, and those that it sees.
    fn rows(&self, strip: &Strip<'_>) -> (Range<usize>, Range<usize>) {
        let height = strip.image().height as usize;
        let first = strip.index() * STRIP_ROWS as usize;
        let last = (first + STRIP_ROWS as usize).min(height);
        (first..last, first.saturating_sub(self.halo)..(last + self.halo).min(height))
    }

    /// y (H/16, W/16, y) of each of `strips`, which are of one shape, before the gain. Border pixels are
    /// replicated to whole patches.
    pub(crate) fn strips(&self, strips: &[&Strip<'_>]) -> Result<Vec<Map>> {
        let Some(Shape { rows, columns, y_rows }) = strips.first().map(|strip| self.shape(strip)) else {
            return Ok(vec![]);
        };
        let pixels = |strip: &&Strip<'_>| {
            let image = strip.image();
            let (width, height) = (image.width as usize, image.height as usize);
            let mut map = Map::zeros(rows, columns, 3);
            for (row, out) in (self.rows(strip).1.start..).zip(map.data.chunks_exact_mut(columns * 3)) {
                let row = &image.rgb[row.min(height - 1) * width * 3..][..width * 3];
                out.iter_mut().zip(row).for_each(|(out, &v)| *out = to_network(v));
                for column in width..columns {
                    out.copy_within((width - 1) * 3..width * 3, column * 3);
                }
            }
            map
        };
        let maps: Vec<Map> = strips.iter().map(pixels).collect();
        let y = self.transforms.run("analysis", &maps, &positions(strips))?;
        let own = |(strip, y): (&&Strip<'_>, Map)| {
            let (own, seen) = self.rows(strip);
            let first = (own.start - seen.start) / 16;
            y.rows(first..first + y_rows)
        };
        Ok(strips.iter().zip(y).map(own).collect())
    }

    /// z before rounding (h/4, w/4, z) from scaled y (h, w, y) of each of `strips`, which are of one shape.
    /// The border of y is replicated to whole cells.
    pub(crate) fn hyper(&self, strips: &[&Strip<'_>], y: &[Map]) -> Result<Vec<Map>> {
        let whole = |y: &Map| {
            let (h, w, c) = (y.dims.h, y.dims.w, y.dims.c);
            let mut map = Map::zeros(h.next_multiple_of(4), w.next_multiple_of(4), c);
            let columns = map.dims.w;
            for (at, out) in map.data.chunks_exact_mut(c).enumerate() {
                let (row, column) = ((at / columns).min(h - 1), (at % columns).min(w - 1));
                out.copy_from_slice(&y.data[(row * w + column) * c..][..c]);
            }
            map
        };
        let maps: Vec<Map> = y.iter().map(whole).collect();
        self.transforms.run("hyper_analysis", &maps, &positions(strips))
    }
}

fn positions(strips: &[&Strip<'_>]) -> Vec<f32> {
    strips.iter().map(|strip| crate::quality::position(strip.quality())).collect()
}

fn map(tensor: &Tensor) -> Result<Map> {
    let (_, h, w, c) = tensor.dims4()?;
    let mut map = Map::zeros(h, w, c);
    map.data = tensor.flatten_all()?.to_vec1()?;
    Ok(map)
}
