//! Installed codecs, run on the same pictures in the same run: their encoder, then their own decoder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::codec::{Codec, CodecError, Scale};
use super::picture::{PictureError, read_decoded, write_png, write_ppm};
use crate::Image;

/// A codec that people use today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `cjpeg` of libjpeg-turbo, progressive with optimised tables, 4:2:0.
    Jpeg,
    /// `cwebp`, method 6.
    Webp,
    /// `avifenc`, speed 6, constant quality, 4:4:4.
    Avif,
    /// `cjxl`, effort 7.
    Jxl,
}

/// Why a peer could not be run.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Its program is not installed, or cannot be started.
    #[error(
        "{peer} cannot be compared: `{program}` does not start ({source}); the Debian package {package} has it"
    )]
    Missing {
        /// Name of the codec.
        peer: &'static str,
        /// Program that was tried.
        program: &'static str,
        /// Debian package that holds it.
        package: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Its program ran and failed.
    #[error("`{program}` failed with {status}: {stderr}")]
    Failed {
        /// Program that failed.
        program: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The last line of what it said.
        stderr: String,
    },
    /// The temporary folder, or a file in it, cannot be used.
    #[error("temporary files: {0}")]
    Temporary(#[from] std::io::Error),
    /// A picture in the temporary folder cannot be written, or the decoder's output cannot be read.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

impl Peer {
    /// Every peer.
    pub const ALL: [Peer; 4] = [Peer::Jpeg, Peer::Webp, Peer::Avif, Peer::Jxl];

    /// Name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Jpeg => "jpeg",
            Peer::Webp => "webp",
            Peer::Avif => "avif",
            Peer::Jxl => "jxl",
        }
    }

    /// Encoder settings, cheapest first, chosen to reach from below 28.5 to above 37.5 dB on photographs.
    pub fn settings(self) -> &'static [f64] {
        match self {
            Peer::Jpeg => &[10.0, 18.0, 30.0, 45.0, 60.0, 72.0, 82.0, 89.0, 94.0],
            Peer::Webp => &[0.0, 5.0, 15.0, 30.0, 50.0, 68.0, 80.0, 88.0, 93.0, 96.0],
            Peer::Avif => &[54.0, 48.0, 42.0, 36.0, 30.0, 24.0, 19.0, 14.0],
            Peer::Jxl => &[15.0, 11.0, 8.0, 6.0, 4.5, 3.3, 2.4, 1.7, 1.2, 0.8],
        }
    }

    fn programs(self) -> [(&'static str, &'static str); 2] {
        match self {
            Peer::Jpeg => [("cjpeg", "-version"), ("djpeg", "-version")],
            Peer::Webp => [("cwebp", "-version"), ("dwebp", "-version")],
            Peer::Avif => [("avifenc", "--version"), ("avifdec", "--version")],
            Peer::Jxl => [("cjxl", "--version"), ("djxl", "--version")],
        }
    }

    fn package(self) -> &'static str {
        match self {
            Peer::Jpeg => "libjpeg-turbo-progs",
            Peer::Webp => "webp",
            Peer::Avif => "libavif-bin",
            Peer::Jxl => "libjxl-tools",
        }
    }

    /// What its settings are.
    pub fn scale(self) -> Scale {
        let (parameter, coarsest, finest, step) = match self {
            Peer::Jpeg => ("quality", 1.0, 100.0, 1.0),
            Peer::Webp => ("quality", 0.0, 100.0, 0.25),
            Peer::Avif => ("cq-level", 63.0, 1.0, 1.0),
            Peer::Jxl => ("distance", 25.0, 0.1, 0.02),
        };
        Scale { parameter, coarsest, finest, step }
    }

    /// Extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Peer::Jpeg => "jpg",
            Peer::Webp => "webp",
            Peer::Avif => "avif",
            Peer::Jxl => "jxl",
        }
    }

    /// The command that decodes the file `coded` into the file `decoded`, of the format that its extension says.
    pub fn decoder(self, coded: &Path, decoded: &Path, threads: Threads) -> Command {
        let mut decode = Command::new(self.programs()[1].0);
        match self {
            Peer::Jpeg => decode.args(["-ppm", "-outfile"]).arg(decoded).arg(coded),
            Peer::Webp => {
                if threads == Threads::All {
                    decode.arg("-mt");
                }
                if decoded.extension().is_some_and(|extension| extension == "ppm") {
                    decode.arg("-ppm");
                }
                decode.arg("-quiet").arg(coded).arg("-o").arg(decoded)
            }
            Peer::Avif => decode.args(["-j", threads.avif()]).arg(coded).arg(decoded),
            Peer::Jxl => decode.arg(coded).arg(decoded).args(threads.jxl()),
        };
        decode
    }

    fn missing(self, program: &'static str, source: std::io::Error) -> PeerError {
        PeerError::Missing { peer: self.name(), program, package: self.package(), source }
    }

    /// Looks for both programs and asks them their versions.
    pub fn detect(self) -> Result<PeerTool, PeerError> {
        let mut versions = Vec::new();
        for (program, argument) in self.programs() {
            let output = Command::new(program)
                .arg(argument)
                .output()
                .map_err(|source| self.missing(program, source))?;
            // Some print their version on the standard error.
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("of unknown version");
            let line = line.strip_prefix("Version:").unwrap_or(line).trim();
            versions.push(format!("{program}: {line}"));
        }
        Ok(PeerTool { peer: self, version: versions.join("; ") })
    }
}

/// A peer that is installed here.
#[derive(Clone, Debug)]
pub struct PeerTool {
    /// Which one.
    pub peer: Peer,
    /// For each program, the first line of what its programs say of their version.
    pub version: String,
}

impl Codec for PeerTool {
    fn name(&self) -> &str {
        self.peer.name()
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn scale(&self) -> Scale {
        self.peer.scale()
    }

    fn settings(&self) -> Vec<f64> {
        self.peer.settings().to_vec()
    }

    fn encode(&self, picture: &Workbench<'_>, setting: f64) -> Result<Vec<u8>, CodecError> {
        Ok(picture.encode(self.peer, setting)?)
    }

    fn decode(&self, picture: &Workbench<'_>, file: &[u8]) -> Result<Image, CodecError> {
        Ok(picture.decode(self.peer, file)?)
    }
}

/// A picture laid out for the peers' encoders in a temporary folder, which goes when this is dropped.
pub struct Workbench<'a> {
    image: &'a Image,
    folder: TempDir,
    png: PathBuf,
    ppm: PathBuf,
    files: AtomicU32,
}

impl Workbench<'_> {
    /// Writes the picture.
    ///
    /// # Errors
    /// A temporary folder that cannot be made or written.
    pub fn new(image: &Image) -> Result<Workbench<'_>, PeerError> {
        let folder = tempfile::Builder::new().prefix("bottleneck-evaluate-").tempdir()?;
        let (png, ppm) = (folder.path().join("original.png"), folder.path().join("original.ppm"));
        write_png(image, &png)?;
        write_ppm(image, &ppm)?;
        Ok(Workbench { image, folder, png, ppm, files: AtomicU32::new(0) })
    }

    /// The picture.
    pub fn image(&self) -> &Image {
        self.image
    }

    /// The picture as a PNG file.
    pub fn png(&self) -> &Path {
        &self.png
    }

    /// A path in the folder that nobody else has.
    pub fn file(&self, extension: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(format!("{number}.{extension}"))
    }

    /// Encodes the picture with a peer, on one thread, to the bytes of a file.
    ///
    /// # Errors
    /// Failures of its program.
    pub fn encode(&self, peer: Peer, setting: f64) -> Result<Vec<u8>, PeerError> {
        let coded = self.file(peer.extension());
        execute(self.encoder(peer, setting, &coded, Threads::One), peer, peer.programs()[0].0)?;
        let bytes = std::fs::read(&coded)?;
        std::fs::remove_file(&coded)?;
        Ok(bytes)
    }

    /// Decodes a file of a peer with its own decoder, on one thread.
    ///
    /// # Errors
    /// Failures of its program.
    pub fn decode(&self, peer: Peer, file: &[u8]) -> Result<Image, PeerError> {
        // The programs choose formats by file extension.
        let (coded, decoded) = (self.file(peer.extension()), self.file("png"));
        let decoded = if peer == Peer::Jpeg { decoded.with_extension("ppm") } else { decoded };
        std::fs::write(&coded, file)?;
        execute(peer.decoder(&coded, &decoded, Threads::One), peer, peer.programs()[1].0)?;
        let image = read_decoded(&decoded)?;
        std::fs::remove_file(&coded)?;
        std::fs::remove_file(&decoded)?;
        Ok(image)
    }

    /// The command that encodes the picture with a peer into the file `coded`.
    pub fn encoder(&self, peer: Peer, setting: f64, coded: &Path, threads: Threads) -> Command {
        let mut encode = Command::new(peer.programs()[0].0);
        let setting = setting.to_string();
        match peer {
            Peer::Jpeg => {
                encode.args(["-quality", &setting, "-optimize", "-progressive", "-outfile"]);
                encode.arg(coded).arg(&self.ppm);
            }
            Peer::Webp => {
                if threads == Threads::All {
                    encode.arg("-mt");
                }
                encode.args(["-quiet", "-m", "6", "-q", &setting]).arg(&self.png).arg("-o").arg(coded);
            }
            Peer::Avif => {
                // Versions before 1.0 have no -q: constant quality is set in libaom itself.
                encode.args([
                    "-s",
                    "6",
                    "-j",
                    threads.avif(),
                    "--min",
                    "0",
                    "--max",
                    "63",
                    "-a",
                    "end-usage=q",
                ]);
                encode.args(["-a", &format!("cq-level={setting}")]).arg(&self.png).arg(coded);
            }
            Peer::Jxl => {
                encode.args(["-e", "7", "-d", &setting]).args(threads.jxl()).arg(&self.png).arg(coded);
            }
        }
        encode
    }
}

/// How many threads a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One.
    One,
    /// As many as the machine has cores, where the program knows how.
    All,
}

impl Threads {
    fn avif(self) -> &'static str {
        match self {
            Threads::One => "1",
            Threads::All => "all",
        }
    }

    fn jxl(self) -> &'static [&'static str] {
        match self {
            // None but its main thread.
            Threads::One => &["--num_threads=0"],
            Threads::All => &[],
        }
    }
}

fn execute(mut command: Command, peer: Peer, program: &'static str) -> Result<(), PeerError> {
    let output = command.output().map_err(|source| peer.missing(program, source))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let stderr =
        said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
    Err(PeerError::Failed { program, status: output.status, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the peers that are installed, and says which are not.
    #[test]
    fn installed_peers_give_the_picture_back() {
        let rgb = (0..64 * 48 * 3u32).map(|i| (128.0 + 100.0 * (f64::from(i) / 700.0).sin()) as u8).collect();
        let image = Image { width: 64, height: 48, rgb };
        let bench = Workbench::new(&image).unwrap();
        for peer in Peer::ALL {
            match peer.detect() {
                Ok(tool) => assert!(tool.version.contains(": "), "{}", tool.version),
                Err(error @ PeerError::Missing { .. }) => {
                    eprintln!("{error}");
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            let best = peer.settings()[peer.settings().len() - 1];
            let file = bench.encode(peer, best).unwrap();
            let (bytes, decoded) = (file.len(), bench.decode(peer, &file).unwrap());
            assert_eq!((decoded.width, decoded.height), (64, 48), "{}", peer.name());
            assert!(bytes > 30 && bytes < 64 * 48 * 3, "{}: {bytes} bytes", peer.name());
            assert!(crate::psnr(&image, &decoded) > 30.0, "{}", peer.name());
        }
        assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 2);
        let folder = bench.folder.path().to_path_buf();
        drop(bench);
        assert!(!folder.exists());
    }

    #[test]
    fn a_failing_program_is_named_with_its_words() {
        let image = Image { width: 8, height: 8, rgb: vec![9; 192] };
        let bench = Workbench::new(&image).unwrap();
        std::fs::remove_file(&bench.png).unwrap();
        if Peer::Webp.detect().is_ok() {
            let error = bench.encode(Peer::Webp, 50.0).unwrap_err().to_string();
            assert!(error.starts_with("`cwebp` failed with exit"), "{error}");
        }
    }
}
