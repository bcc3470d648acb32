use bottleneck_proto::ModelId;

/// A decoder: networks and integer tables, ready to run.
pub struct Model {}

/// Cost of one network, counted from its layer list.
#[derive(Clone, Debug)]
pub struct LayerCost {
    /// Network name, such as `synthesis`.
    pub network: String,
    /// Multiply–accumulates for each picture pixel, in thousands.
    pub kmac_per_pixel: f64,
    /// Number of parameters.
    pub parameters: usize,
}

/// Why bytes are not a model.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// stub
    #[error("stub")]
    Stub,
}

impl Model {
    /// Reads a model file (safetensors). Encoder tensors, where present, are ignored.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Model, WeightsError> {
        Err(WeightsError::Stub)
    }
    /// The lite model embedded in this build.
    pub fn lite() -> &'static Model {
        unimplemented!()
    }
    /// First 8 bytes of the SHA-256 of [`Model::decoder_bytes`].
    pub fn id(&self) -> ModelId {
        unimplemented!()
    }
    /// Profile name from the file, such as `lite`.
    pub fn profile(&self) -> &str {
        unimplemented!()
    }
    /// Whether streams of this model may stop opening with a later version.
    pub fn experimental(&self) -> bool {
        unimplemented!()
    }
    /// The decoder part in its canonical serialisation: what clients fetch and hash.
    pub fn decoder_bytes(&self) -> &[u8] {
        unimplemented!()
    }
    /// Cost of every decoder network.
    pub fn costs(&self) -> Vec<LayerCost> {
        unimplemented!()
    }
}
