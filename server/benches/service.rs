//! Load on a running `bottleneck-server`, and what it should be held to.
//!
//! ```sh
//! cargo bench -p bottleneck-server --bench service -- saturation --url http://127.0.0.1:8080 --images DIR
//! ```
//! `saturation` compares with a loop of this process that decodes and encodes the same files, in turns;
//! `overload` sends many times what the queue holds; `soak` mixes good, bad, slow and abandoned requests and
//! compares every code with this process's own. With `--pid` the server's memory is watched.

use bottleneck_model::{Backend, Encoder, Quality, ingest};
use clap::{Parser, ValueEnum};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Options {
    mode: Mode,
    /// The server, such as http://127.0.0.1:8080
    #[arg(long)]
    url: String,
    /// A folder of pictures to upload
    #[arg(long)]
    images: PathBuf,
    /// The server's process
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Length of a round, or of the whole
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Saturation,
    Overload,
    Soak,
}

fn main() {
    let options = Options::parse();
    let mut paths: Vec<_> = std::fs::read_dir(&options.images).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let files: Vec<Vec<u8>> =
        paths.iter().filter(|p| p.is_file()).map(|p| std::fs::read(p).unwrap()).collect();
    let memory = || options.pid.map_or(0, resident_kib);
    println!("{} files, server at {} KiB", files.len(), memory());
    match options.mode {
        Mode::Saturation => saturation(&options, &files),
        Mode::Overload => overload(&options, &files),
        Mode::Soak => soak(&options, &files, &memory),
    }
    println!("server at {} KiB", memory());
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(Duration::from_secs(300))).build().into()
}

/// Status, retry-after in seconds, and body.
fn post(agent: &ureq::Agent, url: &str, body: &[u8]) -> Result<(u16, Option<u64>, Vec<u8>), ureq::Error> {
    let mut answer = agent.post(url).send(body)?;
    let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
    Ok((answer.status().as_u16(), wait, answer.body_mut().read_to_vec()?))
}

/// Runs `work` with 0, 1, … from `clients` threads until the time is over; gives how many were run a second,
/// and in all.
fn rate(clients: usize, seconds: u64, work: impl Fn(usize) + Sync) -> (f64, usize) {
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs(seconds) {
                    work(next.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    let done = next.into_inner();
    (done as f64 / start.elapsed().as_secs_f64(), done)
}

fn saturation(options: &Options, files: &[Vec<u8>]) {
    let encoder = Encoder::lite(Backend::Cpu).unwrap();
    let quality = Quality::from_percent(75.0).unwrap();
    let encode = |i: usize| {
        let image = ingest::load(&files[i % files.len()], &ingest::Options::default()).unwrap();
        encoder.encode(&image, quality).unwrap();
    };
    let (agent, url) = (agent(), format!("{}/v1/encode?q=75", options.url));
    let upload = |i: usize| {
        let (status, _, _) = post(&agent, &url, &files[i % files.len()]).unwrap();
        assert_eq!(status, 200);
    };
    let threads = rayon::current_num_threads();
    let own = std::process::id();
    for round in 0..options.rounds {
        // Work that others do on this machine stretches seconds, but not a process's own.
        let timed = |pid, clients, work: &(dyn Fn(usize) + Sync)| {
            let before = processor_seconds(pid);
            let rate = rate(clients, options.seconds, work);
            (rate.0, (processor_seconds(pid) - before) / rate.1 as f64)
        };
        let serial = timed(own, 1, &encode);
        let parallel = timed(own, threads, &encode);
        let served = timed(options.pid.unwrap_or(own), options.clients, &upload);
        println!("round {round}: pictures a second, and processor seconds a picture");
        println!(
            "  loop {:.2} {:.4}, on {threads} threads {:.2} {:.4}",
            serial.0, serial.1, parallel.0, parallel.1
        );
        println!("  served {:.2} {:.4}", served.0, served.1);
        println!("  ratios {:.3} {:.3}", served.0 / parallel.0, parallel.1 / served.1);
    }
}

/// Time that a process has spent on processors.
fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in ticks of 10 ms.
    (ticks(11) + ticks(12)) / 100.0
}

fn overload(options: &Options, files: &[Vec<u8>]) {
    let url = format!("{}/v1/encode?q=75", options.url);
    let (statuses, times) = (Mutex::new(BTreeMap::<String, usize>::new()), Mutex::new(Vec::new()));
    let (start, most) = (Instant::now(), Mutex::new(0));
    std::thread::scope(|scope| {
        for client in 0..options.clients {
            let (statuses, times, url, most) = (&statuses, &times, &url, &most);
            scope.spawn(move || {
                let agent = agent();
                let mut i = client;
                while start.elapsed() < Duration::from_secs(options.seconds) {
                    let sent = Instant::now();
                    let answer = post(&agent, url, &files[i % files.len()]);
                    i += 1;
                    let told = match &answer {
                        Ok((200, _, _)) => {
                            times.lock().unwrap().push(sent.elapsed().as_secs_f64());
                            "200".to_owned()
                        }
                        Ok((status, Some(_), _)) => format!("{status} with retry-after"),
                        Ok((status, None, _)) => format!("{status} without retry-after"),
                        Err(error) => error.to_string(),
                    };
                    *statuses.lock().unwrap().entry(told).or_default() += 1;
                    let held = options.pid.map_or(0, resident_kib);
                    let mut most = most.lock().unwrap();
                    *most = held.max(*most);
                    drop(most);
                    if !matches!(answer, Ok((200, ..))) {
                        // Rude: less than the server asks for.
                        std::thread::sleep(Duration::from_millis(500));
                    }
                }
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    println!("{:#?}", statuses.into_inner().unwrap());
    println!("served {rate:.2}/s; seconds: median {:.2}, 99 % {:.2}, most {:.2}", at(0.5), at(0.99), at(1.0));
    println!("server at most {} KiB", most.into_inner().unwrap());
}

fn soak(options: &Options, files: &[Vec<u8>], memory: &(impl Fn() -> u64 + Sync)) {
    const QUALITIES: [f64; 3] = [20.0, 75.0, 93.5];
    let encoder = Encoder::lite(Backend::Cpu).unwrap();
    let files = &files[..files.len().min(8)];
    let expected: Vec<Vec<Vec<u8>>> = files
        .par_iter()
        .map(|file| {
            let image = ingest::load(file, &ingest::Options::default()).unwrap();
            QUALITIES.map(|q| encoder.encode(&image, Quality::from_percent(q).unwrap()).unwrap()).to_vec()
        })
        .collect();
    let counts = Mutex::new(BTreeMap::<String, usize>::new());
    let count = |what: String| *counts.lock().unwrap().entry(what).or_default() += 1;
    let agent = agent();
    let (start, sampled) = (Instant::now(), Mutex::new(Instant::now()));
    rate(options.clients, options.seconds, |i| {
        // A fixed sequence that looks like chance.
        let dice = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let (file, q) = (dice as usize / 16 % files.len(), dice as usize / 128 % QUALITIES.len());
        let url = format!("{}/v1/encode?q={}", options.url, QUALITIES[q]);
        match dice % 8 {
            0 => count(format!("cut: {}", status(post(&agent, &url, &files[file][..files[file].len() / 2])))),
            1 => {
                let mut damaged = files[file].clone();
                let at = dice as usize % damaged.len();
                damaged[at] ^= 0x55;
                count(format!("damaged: {}", status(post(&agent, &url, &damaged))));
            }
            2 => count(format!("abandoned: {}", raw(options, &files[file], usize::MAX, Duration::ZERO))),
            3 => count(format!("broken off: {}", raw(options, &files[file], 3000, Duration::ZERO))),
            4 => count(format!("slow: {}", raw(options, &files[file], 2000, Duration::from_secs(2)))),
            _ => match post(&agent, &url, &files[file]) {
                Ok((200, _, code)) if code == expected[file][q] => count("good: same bytes".to_owned()),
                Ok((200, ..)) => count("good: OTHER BYTES".to_owned()),
                other => count(format!("good: {}", status(other))),
            },
        }
        let mut sampled = sampled.lock().unwrap();
        if sampled.elapsed() > Duration::from_secs(15) {
            *sampled = Instant::now();
            println!("{:4} s {} KiB", start.elapsed().as_secs(), memory());
        }
    });
    println!("{:#?}", counts.into_inner().unwrap());
}

fn status(answer: Result<(u16, Option<u64>, Vec<u8>), ureq::Error>) -> String {
    answer.map_or_else(|error| error.to_string(), |(status, ..)| status.to_string())
}

/// Sends the first `bytes` of an upload, waits, and hangs up.
fn raw(options: &Options, file: &[u8], bytes: usize, pause: Duration) -> String {
    let address = options.url.trim_start_matches("http://");
    let send = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "POST /v1/encode HTTP/1.1\r\nhost: soak\r\ncontent-length: {}\r\n\r\n", file.len())?;
        stream.write_all(&file[..bytes.min(file.len())])?;
        std::thread::sleep(pause);
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        // Whatever may have come by now.
        let _ = stream.read(&mut [0; 64]);
        Ok(())
    };
    send().map_or_else(|error| error.to_string(), |()| "hung up".to_owned())
}
