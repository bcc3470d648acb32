use crate::common::{Server, get, tiny_model, until};
use std::ops::Range;

/// The default model's id.
fn served(server: &Server) -> String {
    let models = get(&format!("{}/v1/models", server.url)).unwrap().body;
    let models: serde_json::Value = serde_json::from_slice(&models).unwrap();
    models[0]["id"].as_str().unwrap().to_owned()
}

/// Where the first tensor lies of which the name begins so, in a safetensors file.
fn tensor(file: &[u8], name: &str) -> Range<usize> {
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let layout: serde_json::Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let (_, tensor) = layout.as_object().unwrap().iter().find(|(key, _)| key.starts_with(name)).unwrap();
    let offset = |i: usize| 8 + header + tensor["data_offsets"][i].as_u64().unwrap() as usize;
    offset(0)..offset(1)
}

/// The tiny model with another number in its synthesis transform, and so with another id.
fn other_model() -> Vec<u8> {
    let mut file = std::fs::read(tiny_model()).unwrap();
    // The decoder is a file within the file.
    let place = tensor(&file, "decoder");
    let decoder = &mut file[place];
    let weight = tensor(decoder, "synthesis").start;
    // The lowest bit of its mantissa.
    decoder[weight] ^= 1;
    file
}

#[test]
fn sighup_takes_new_models_and_keeps_the_old_ones_where_the_new_ones_are_broken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let put = |bytes: &[u8]| {
        // As a deployment would: whole or not at all.
        let new = folder.path().join("new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    put(&std::fs::read(tiny_model()).unwrap());
    let server = Server::start_with(&file, "127.0.0.1:0", &["--store", "memory"]).ready();
    let first = served(&server);

    for (broken, words) in [(&b"no model"[..], "model.safetensors"), (&[], "model.safetensors")] {
        let before = server.log().matches("the models stay as they were").count();
        put(broken);
        server.signal("HUP");
        until("the broken model is refused", || {
            server.log().matches("the models stay as they were").count() > before
        });
        assert!(server.log().contains(words), "{}", server.log());
        assert_eq!(served(&server), first);
        assert!(server.is_ready());
    }

    put(&other_model());
    server.signal("HUP");
    until("the new model is served", || served(&server) != first);
    assert!(server.is_ready());
    // Codes made a moment ago must still open.
    assert_eq!(get(&format!("{}/v1/models/{first}/decoder", server.url)).unwrap().status, 200);
}
