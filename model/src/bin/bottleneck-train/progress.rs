//! What a run shows while it goes on: a bar on a terminal, lines elsewhere.

use bottleneck_model::train::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// The run as it is seen.
pub(crate) struct Display {
    /// `None` where there is no terminal.
    bar: Option<ProgressBar>,
    steps: u64,
}

impl Display {
    pub(crate) fn new(steps: u64) -> Display {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new(steps);
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}, {eta} left  {msg}");
            bar.set_style(style.expect("the template is valid"));
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Display { bar, steps }
    }

    /// Shows what is news.
    pub(crate) fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Data { training, validation, skipped, from } => {
                for why in skipped {
                    self.line(&format!("skipped {why}"));
                }
                self.line(&format!(
                    "{training} pictures to train on, {validation} held out; starting at step {from} of {}",
                    self.steps
                ));
                if let Some(bar) = &self.bar {
                    // Time left is told by this run's pace alone.
                    bar.set_position(*from);
                    bar.reset_eta();
                }
            }
            Progress::Steps { step, rate, mpixels, bpp, psnr, loss, norm, learning } => match &self.bar {
                Some(bar) => {
                    bar.set_position(*step);
                    bar.set_message(format!("{bpp:.3} bpp, {psnr:.2} dB, {mpixels:.2} Mpixel/s"));
                }
                None => println!(
                    "step {step}/{}  {rate:.2} steps/s  {mpixels:.2} Mpixel/s  bpp {bpp:.3}  PSNR {psnr:.2} dB  \
                     loss {loss:.4}  |g| {norm:.2}  lr {learning:.1e}  {:.0} min left",
                    self.steps,
                    (self.steps - step) as f64 / rate.max(1e-9) / 60.0
                ),
            },
            Progress::Validated { step, pixels, seconds, points } => {
                let count = points.len() as f64;
                let cost = points.iter().map(|p| p.log_cost).sum::<f64>() / count;
                let objective = points.iter().map(|p| p.log_objective).sum::<f64>() / count;
                let points: Vec<String> =
                    points.iter().map(|p| format!("{:.3} bpp {:.2} dB", p.bpp, p.psnr)).collect();
                self.line(&format!(
                    "validation at step {step} ({:.2} Gpixel, {:.0} min): cost {cost:.4}, of what is trained for {objective:.4}  {}",
                    *pixels as f64 / 1e9,
                    seconds / 60.0,
                    points.join(", ")
                ));
            }
        }
    }

    /// A line that stays.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{text}")),
            None => println!("{text}"),
        }
    }
}
