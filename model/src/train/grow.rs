//! Growing a trained model into a larger one that at first computes the same pictures at the same rates.
//!
//! Old channels keep their weights; what new channels send to old ones starts at zero, and new blocks add nothing
//! (as Net2Net, Chen, Goodfellow & Shlens 2016, but with zeros for copies, since the transforms are residual).

use super::init::{self, Values};
use crate::architecture::Architecture;
use crate::network::{Layer, Network, QUALITY_KNOTS, STEPS};
use crate::nn::Parameters;
use crate::quality::interpolate;
use rand::rngs::StdRng;

/// Why a model cannot be grown into another.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// It has more of something.
    #[error("cannot start {to} from {from}: it has {has} {what}, more than {wanted}")]
    Larger {
        /// Profile to start from.
        from: String,
        /// Profile to be trained.
        to: String,
        /// What there is more of.
        what: &'static str,
        /// How many it has.
        has: usize,
        /// How many the other has.
        wanted: usize,
    },
    /// Its networks are of another kind.
    #[error("cannot start {to} from {from}: {what}")]
    Different {
        /// Profile to start from.
        from: String,
        /// Profile to be trained.
        to: String,
        /// What differs.
        what: String,
    },
    /// A weight is missing, or of another shape than its architecture tells.
    #[error("cannot read the weights to start from: {0}")]
    Weights(#[from] candle_core::Error),
}

/// Where old channels lie among the new.
#[derive(Clone)]
struct Channels {
    place: Vec<usize>,
    total: usize,
}

impl Channels {
    /// The first `old` of `new`.
    fn first(old: usize, new: usize) -> Channels {
        Channels { place: (0..old).collect(), total: new }
    }

    /// Channels of y: each coding group keeps its channels.
    fn groups(old: usize, new: usize) -> Channels {
        let (from, to) = (old / STEPS, new / STEPS);
        Channels { place: (0..old).map(|c| c / from * to + c % from).collect(), total: new }
    }

    fn then(mut self, other: &Channels) -> Channels {
        self.place.extend(other.place.iter().map(|p| self.total + p));
        self.total += other.total;
        self
    }

    fn times(&self, count: usize) -> Channels {
        (0..count).fold(Channels::first(0, 0), |all, _| all.then(self))
    }
}

/// Values for every parameter of `to`, from trained ones of `from`; the same model stays as it is.
pub(super) fn grow(
    from: &Architecture,
    values: &Parameters,
    to: &Architecture,
    rng: &mut StdRng,
) -> Result<Values, GrowError> {
    check(from, to)?;
    let mut grown = init::random(to, rng);
    let mut growth = Growth { from, to, values, grown: &mut grown };
    growth.networks()?;
    growth.vectors()?;
    quiet_latents(from, to, &mut grown);
    Ok(grown)
}

/// New latents start small, with μ = 0 and σ = 0.33 everywhere: they cost little, and can learn to be of use.
fn quiet_latents(from: &Architecture, to: &Architecture, grown: &mut Values) {
    let last = |network: &Network| format!("{}.{}", network.name, network.layers.len() - 1);
    let mut quiet = |name: String, new: &Channels, start: fn(f32) -> f32| {
        let values = grown.get_mut(&name).expect("a parameter of the layer list");
        for row in values.1.chunks_exact_mut(new.total) {
            (0..new.total).filter(|c| !new.place.contains(c)).for_each(|c| row[c] = start(row[c]));
        }
    };
    let (y, z) = (Channels::groups(from.y, to.y), Channels::first(from.z, to.z));
    quiet(last(&to.analysis()) + ".weight", &y, |fresh| 0.03 * fresh);
    quiet(last(&to.hyper_analysis()) + ".weight", &z, |fresh| 0.03 * fresh);
    for step in 0..STEPS {
        quiet(last(&to.mean(step)) + ".weight", &y, |_| 0.0);
    }
    quiet(last(&to.scale()) + ".weight", &y, |_| 0.0);
    quiet(last(&to.scale()) + ".bias", &y, |_| 9.0);
}

fn check(from: &Architecture, to: &Architecture) -> Result<(), GrowError> {
    let sizes = [
        ("channels of y", from.y, to.y),
        ("channels of z", from.z, to.z),
        ("analysis channels", from.analysis, to.analysis),
        ("analysis blocks", from.analysis_blocks, to.analysis_blocks),
        ("hyper channels", from.hyper, to.hyper),
        ("scale channels", from.scale, to.scale),
        ("synthesis channels", from.synthesis, to.synthesis),
        ("synthesis blocks", from.synthesis_blocks, to.synthesis_blocks),
    ];
    let (name, target) = (from.profile.clone(), to.profile.clone());
    if let Some(&(what, has, wanted)) = sizes.iter().find(|(_, has, wanted)| has > wanted) {
        return Err(GrowError::Larger { from: name, to: target, what, has, wanted });
    }
    if from.head != to.head {
        let what = "one has lapped patches and the other a head, or the heads differ".into();
        return Err(GrowError::Different { from: name, to: target, what });
    }
    if from.lambda[0] != to.lambda[0] || from.lambda[1] > to.lambda[1] {
        let what = format!("λ {:?} is not the lower part of {:?}", from.lambda, to.lambda);
        return Err(GrowError::Different { from: name, to: target, what });
    }
    Ok(())
}

struct Growth<'a> {
    from: &'a Architecture,
    to: &'a Architecture,
    values: &'a Parameters,
    grown: &'a mut Values,
}

impl Growth<'_> {
    fn networks(&mut self) -> Result<(), GrowError> {
        let (from, to) = (self.from, self.to);
        let y = Channels::groups(from.y, to.y);
        let z = Channels::first(from.z, to.z);
        let features = Channels::first(from.hyper, to.hyper);
        let pixels = |count: usize| Channels::first(count, count);
        let latents = y.clone().then(&features);
        self.network(&from.analysis(), &to.analysis(), pixels(3), &y)?;
        self.network(&from.hyper_analysis(), &to.hyper_analysis(), y.clone(), &z)?;
        self.network(&from.hyper_synthesis(), &to.hyper_synthesis(), z.clone(), &features)?;
        self.network(&from.mean(0), &to.mean(0), features, &y)?;
        for step in 1..STEPS {
            self.network(&from.mean(step), &to.mean(step), latents.clone(), &y)?;
        }
        self.network(&from.correction(), &to.correction(), latents, &y)?;
        self.network(&from.synthesis(), &to.synthesis(), y.clone(), &pixels(3))?;
        // The quality is the last input of the scale network.
        self.network(&from.scale(), &to.scale(), z.then(&pixels(1)), &y)?;
        self.quality_input();
        Ok(())
    }

    /// One position on the new rate scale is a larger one on the old.
    fn quality_input(&mut self) {
        let stretch = self.from.position_of(self.to.lambda[1]);
        let (inputs, outputs) = (self.to.z + 1, self.to.scale);
        let weight = &mut self.grown.get_mut("scale.0.weight").expect("a parameter of the layer list").1;
        for tap in 0..9 {
            let row = (tap * inputs + self.to.z) * outputs;
            weight[row..row + self.from.scale].iter_mut().for_each(|w| *w *= stretch);
        }
    }

    /// Walks both layer lists; `input` and `output` place the channels at the ends.
    fn network(
        &mut self,
        from: &Network,
        to: &Network,
        input: Channels,
        output: &Channels,
    ) -> Result<(), GrowError> {
        let mut channels = input;
        let mut old = from.layers.iter().enumerate().peekable();
        for (index, layer) in to.layers.iter().enumerate() {
            if let Layer::Block { .. } = layer
                && !matches!(old.peek(), Some((_, Layer::Block { .. })))
            {
                let silent = self.grown.get_mut(&to.parameter(index, "project.weight"));
                silent.expect("a parameter of the layer list").1.fill(0.0);
                continue;
            }
            let (at, before) = old.next().expect("checked: the lists differ in blocks alone");
            let next = old.peek().map(|(_, layer)| **layer);
            let names = (from.parameter(at, ""), to.parameter(index, ""));
            channels = match (*before, *layer) {
                (Layer::Block { .. }, Layer::Block { .. }) => {
                    self.block(&names, &channels)?;
                    channels
                }
                (Layer::Linear { output: o, .. }, Layer::Linear { output: n, .. })
                | (Layer::Conv3 { output: o, .. }, Layer::Conv3 { output: n, .. })
                | (Layer::Conv2 { output: o, .. }, Layer::Conv2 { output: n, .. }) => {
                    let taps = match layer {
                        Layer::Conv3 { .. } => 9,
                        Layer::Conv2 { .. } => 4,
                        _ => 1,
                    };
                    let outputs = match next {
                        None => output.clone(),
                        Some(Layer::Shuffle(k) | Layer::LappedShuffle(k)) => {
                            Channels::first(o / (k * k), n / (k * k)).times(k * k)
                        }
                        Some(_) => Channels::first(o, n),
                    };
                    self.matrix(&names, "weight", &channels.times(taps), &outputs)?;
                    self.place(&names, "bias", &Channels::first(1, 1), &outputs)?;
                    outputs
                }
                (Layer::Unshuffle(k) | Layer::LappedUnshuffle(k), _) => channels.times(k * k),
                (Layer::Shuffle(k) | Layer::LappedShuffle(k), _) => {
                    let (old, new) = (channels.place.len() / (k * k), channels.total / (k * k));
                    Channels { place: channels.place[..old].to_vec(), total: new }
                }
                (before, layer) => unreachable!("{before:?} and {layer:?}: the lists differ in blocks alone"),
            };
        }
        Ok(())
    }

    fn block(&mut self, names: &(String, String), channels: &Channels) -> Result<(), GrowError> {
        let one = Channels::first(1, 1);
        let gate = channels.times(2);
        self.place(names, "depthwise.weight", &Channels::first(9, 9), channels)?;
        self.place(names, "depthwise.bias", &one, channels)?;
        self.matrix(names, "expand.weight", channels, &gate)?;
        self.place(names, "expand.bias", &one, &gate)?;
        self.matrix(names, "project.weight", channels, channels)?;
        self.place(names, "project.bias", &one, channels)?;
        let name = format!("{}quality", names.0);
        let stretched = self.stretched(&name, channels.place.len())?;
        self.put(
            &format!("{}quality", names.1),
            &stretched,
            &Channels::first(QUALITY_KNOTS, QUALITY_KNOTS),
            channels,
        );
        Ok(())
    }

    /// Places a matrix (inputs, outputs), and keeps new inputs from old outputs.
    fn matrix(
        &mut self,
        names: &(String, String),
        name: &str,
        inputs: &Channels,
        outputs: &Channels,
    ) -> Result<(), GrowError> {
        let grown = self.grown.get_mut(&format!("{}{name}", names.1)).expect("a parameter of the layer list");
        for row in grown.1.chunks_exact_mut(outputs.total) {
            outputs.place.iter().for_each(|&column| row[column] = 0.0);
        }
        self.place(names, name, inputs, outputs)
    }

    fn place(
        &mut self,
        names: &(String, String),
        name: &str,
        rows: &Channels,
        columns: &Channels,
    ) -> Result<(), GrowError> {
        let old = self.old(&format!("{}{name}", names.0))?;
        self.put(&format!("{}{name}", names.1), &old, rows, columns);
        Ok(())
    }

    fn put(&mut self, name: &str, old: &[f32], rows: &Channels, columns: &Channels) {
        let grown = &mut self.grown.get_mut(name).expect("a parameter of the layer list").1;
        for (values, &row) in old.chunks_exact(columns.place.len()).zip(&rows.place) {
            for (value, &column) in values.iter().zip(&columns.place) {
                grown[row * columns.total + column] = *value;
            }
        }
    }

    fn old(&self, name: &str) -> Result<Vec<f32>, GrowError> {
        Ok(crate::nn::parameter(self.values, name)?.flatten_all()?.to_vec1()?)
    }

    /// A quality-dependent vector (knots, c) at the knots of the new rate scale; its last knot beyond.
    fn stretched(&self, name: &str, c: usize) -> Result<Vec<f32>, GrowError> {
        let old = self.old(name)?;
        debug_assert_eq!(old.len(), QUALITY_KNOTS * c);
        Ok(self.positions().flat_map(|p| interpolate(&old, p)).collect())
    }

    /// Positions of the new knots on the old rate scale.
    fn positions(&self) -> impl Iterator<Item = f32> + '_ {
        (0..QUALITY_KNOTS).map(|k| {
            let lambda = self.to.lambda_at(k as f32 / (QUALITY_KNOTS - 1) as f32);
            self.from.position_of(f64::from(lambda))
        })
    }

    fn vectors(&mut self) -> Result<(), GrowError> {
        let knots = Channels::first(QUALITY_KNOTS, QUALITY_KNOTS);
        let y = Channels::groups(self.from.y, self.to.y);
        let z = Channels::first(self.from.z, self.to.z);
        let mut gain = self.stretched("gain", self.from.y)?;
        // Beyond the old scale the gain goes on with √λ, as it starts.
        let ratio = (self.from.lambda[1] / self.from.lambda[0]).ln() as f32;
        let beyond: Vec<f32> = self.positions().map(|p| 0.5 * ratio * (p - 1.0).max(0.0)).collect();
        for (row, more) in gain.chunks_exact_mut(self.from.y).zip(beyond) {
            row.iter_mut().for_each(|g| *g += more);
        }
        self.put("gain", &gain, &knots, &y);
        for name in ["prior.mean", "prior.log_scale"] {
            let stretched = self.stretched(name, self.from.z)?;
            self.put(name, &stretched, &knots, &z);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
