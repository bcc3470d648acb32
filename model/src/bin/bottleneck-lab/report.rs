//! `bottleneck-lab report`: the page for a lecture.

use anyhow::Context;
use bottleneck_model::lab;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Folders of finished runs.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Page to write.
    #[arg(short, long, default_value = "report.html")]
    out: PathBuf,
    /// Folder of the pictures, where it has moved since the first run.
    #[arg(long)]
    data: Option<PathBuf>,
}

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let page = lab::report(&args.runs, args.data.as_deref())?;
    std::fs::write(&args.out, &page).with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("wrote {} ({} kB)", args.out.display(), page.len() / 1000);
    Ok(())
}
