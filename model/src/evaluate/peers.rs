//! Installed codecs, run on the same pictures in the same run: their encoder, then their own decoder.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

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

    /// What the numbers of [`Peer::settings`] are to the encoder.
    pub fn parameter(self) -> &'static str {
        match self {
            Peer::Jpeg | Peer::Webp => "quality",
            Peer::Avif => "cq-level",
            Peer::Jxl => "distance",
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

/// A picture laid out for the peers' encoders in a temporary folder, which goes when this is dropped.
pub struct Workbench {
    folder: TempDir,
    png: PathBuf,
    ppm: PathBuf,
}

impl Workbench {
    /// Writes the picture.
    pub fn new(image: &Image) -> Result<Workbench, PeerError> {
        let folder = tempfile::Builder::new().prefix("bottleneck-evaluate-").tempdir()?;
        let (png, ppm) = (folder.path().join("original.png"), folder.path().join("original.ppm"));
        write_png(image, &png)?;
        write_ppm(image, &ppm)?;
        Ok(Workbench { folder, png, ppm })
    }

    /// Encodes and decodes the picture with a peer, on one thread: the file's size in bytes, and what its own
    /// decoder makes of it.
    pub fn run(&self, peer: Peer, setting: f64) -> Result<(u64, Image), PeerError> {
        // The programs choose formats by file extension.
        let (coded, decoded) = match peer {
            Peer::Jpeg => ("jpg", "ppm"),
            Peer::Webp => ("webp", "png"),
            Peer::Avif => ("avif", "png"),
            Peer::Jxl => ("jxl", "png"),
        };
        let file = |stage, extension| self.folder.path().join(format!("{stage}-{setting}.{extension}"));
        let (coded, decoded) = (file("coded", coded), file(peer.name(), decoded));
        let [encode, decode] = self.commands(peer, setting, &coded, &decoded);
        execute(encode, peer, peer.programs()[0].0)?;
        let bytes = std::fs::metadata(&coded)?.len();
        execute(decode, peer, peer.programs()[1].0)?;
        let image = read_decoded(&decoded)?;
        std::fs::remove_file(&coded)?;
        std::fs::remove_file(&decoded)?;
        Ok((bytes, image))
    }

    fn commands(&self, peer: Peer, setting: f64, coded: &Path, decoded: &Path) -> [Command; 2] {
        let [mut encode, mut decode] = peer.programs().map(|(program, _)| Command::new(program));
        let setting = setting.to_string();
        match peer {
            Peer::Jpeg => {
                encode.args(["-quality", &setting, "-optimize", "-progressive", "-outfile"]);
                encode.arg(coded).arg(&self.ppm);
                decode.args(["-ppm", "-outfile"]).arg(decoded).arg(coded);
            }
            Peer::Webp => {
                encode.args(["-quiet", "-m", "6", "-q", &setting]).arg(&self.png).arg("-o").arg(coded);
                decode.arg("-quiet").arg(coded).arg("-o").arg(decoded);
            }
            Peer::Avif => {
                // Versions before 1.0 have no -q: constant quality is set in libaom itself.
                encode.args(["-s", "6", "-j", "1", "--min", "0", "--max", "63", "-a", "end-usage=q"]);
                encode.args(["-a", &format!("cq-level={setting}")]).arg(&self.png).arg(coded);
                decode.args(["-j", "1"]).arg(coded).arg(decoded);
            }
            Peer::Jxl => {
                encode.args(["-e", "7", "-d", &setting, "--num_threads=0"]).arg(&self.png).arg(coded);
                decode.arg(coded).arg(decoded).arg("--num_threads=0");
            }
        }
        [encode, decode]
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
            let (bytes, decoded) = bench.run(peer, best).unwrap();
            assert_eq!((decoded.width, decoded.height), (64, 48), "{}", peer.name());
            assert!(bytes > 30 && bytes < 64 * 48 * 3, "{}: {bytes} bytes", peer.name());
            assert!(super::super::metrics::psnr(&image, &decoded) > 30.0, "{}", peer.name());
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
            let error = bench.run(Peer::Webp, 50.0).unwrap_err().to_string();
            assert!(error.starts_with("`cwebp` failed with exit"), "{error}");
        }
    }
}
