use crate::common::{Server, code_of, get, id, keep, tiny_model, until};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const UPLOADS: usize = 1000;
const CLIENTS: usize = 8;
const KILLS: usize = 3;

/// Every name that can be seen must be that of its content.
fn whole_images(root: &Path) -> usize {
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut whole = 0;
    for folder in folders.filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            // What the server was writing has another extension, and no address.
            if file.extension().is_some_and(|extension| extension == "bnk") {
                let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
                assert_eq!(id(&std::fs::read(&file).unwrap()), name, "a part of an image can be seen");
                whole += 1;
            }
        }
    }
    whole
}

/// Kills the server again and again while images come in, and starts another on the same folder.
#[test]
fn kill_9_loses_nothing_that_was_acknowledged_and_leaves_no_part_of_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("images");
    let store = root.to_str().unwrap();
    let model = bottleneck_model::Model::from_bytes(&std::fs::read(tiny_model()).unwrap()).unwrap().id();
    let server = Mutex::new(Server::start(&["--store", store]).ready());
    let url = || server.lock().unwrap().url.clone();
    let (next, acknowledged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let count = || acknowledged.lock().unwrap().len();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= UPLOADS {
                        return;
                    }
                    let code = code_of(model, seed as u32, 5_000 + seed % 10 * 7_000);
                    // The client tries again until it has its answer, of whichever server there is.
                    until("an upload is acknowledged", || {
                        let Ok(answer) = keep(&url(), &code) else { return false };
                        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
                        true
                    });
                    acknowledged.lock().unwrap().push((seed, id(&code)));
                }
            });
        }
        for kill in 1..=KILLS {
            until("uploads come in", || count() >= UPLOADS * kill / (KILLS + 1));
            let mut server = server.lock().unwrap();
            server.kill();
            let kept = count();
            assert!(whole_images(&root) >= kept, "fewer images than were acknowledged");
            *server = Server::start(&["--store", store]);
        }
    });
    assert_eq!(count(), UPLOADS);
    assert_eq!(whole_images(&root), UPLOADS);
    let url = url();
    for (seed, id) in acknowledged.into_inner().unwrap() {
        let answer = get(&format!("{url}/v1/images/{id}.bnk")).unwrap();
        assert_eq!((answer.status, crate::common::id(&answer.body)), (200, id), "upload {seed}");
    }
}
