//! The report of a comparison: one content, as a page that needs nothing else, as Markdown, and all numbers as JSON.

mod chart;
mod content;
mod format;
mod html;
mod losses;
mod markdown;
mod waiting;

use std::io;
use std::path::Path;

use serde::Serialize;

use super::Prices;
use super::results::Comparison;

/// How, where and when the figures were made.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// The command that repeats the run.
    pub command: String,
    /// The day, as 2026-01-31.
    pub date: String,
    /// Processor and operating system.
    pub machine: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Processes that wanted a core when the run began, by the system's count; `None` where it does not tell.
    pub load: Option<f64>,
    /// Prices of the cost table.
    pub prices: Prices,
    /// Codecs that were asked for and are not installed, in sentences.
    pub missing: Vec<String>,
    /// Decoding in a browser, where it was measured.
    pub browser: Option<BrowserTimes>,
    /// Transfers between two network namespaces, where they were measured; or why not.
    pub network: Result<Vec<Transfer>, String>,
}

/// Decoding as a page sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BrowserTimes {
    /// Name and version of the browser.
    pub browser: String,
    /// Codec, and seconds for each pixel; codecs that the browser cannot show are missing.
    pub decode: Vec<(String, f64)>,
}

/// One file over one link, computed and measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transfer {
    /// Name of the link.
    pub link: &'static str,
    /// Codec of the file.
    pub codec: String,
    /// Its bytes.
    pub bytes: u64,
    /// Seconds by [`super::Link::transfer`].
    pub computed: f64,
    /// Seconds measured.
    pub measured: f64,
}

/// A part of the report.
struct Section {
    title: String,
    /// Its name in links.
    anchor: &'static str,
    blocks: Vec<Block>,
}

enum Block {
    Paragraph(String),
    List(Vec<String>),
    Table(Table),
    /// File name, SVG, and what it shows.
    Figure(String, String, String),
    /// The crops.
    Wall,
}

/// Cells are plain text; those that hold a number are set to the right.
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Readers may sort it by any column.
    sortable: bool,
}

/// A comparison and how it came about.
pub struct Report<'a> {
    results: &'a Comparison,
    setting: &'a Setting,
    losses: Vec<String>,
}

#[derive(Serialize)]
struct Everything<'a> {
    where_it_loses: &'a [String],
    setting: &'a Setting,
    results: &'a Comparison,
    waiting: Vec<waiting::Waiting>,
}

impl<'a> Report<'a> {
    /// The report of these results.
    pub fn new(results: &'a Comparison, setting: &'a Setting) -> Report<'a> {
        Report { results, setting, losses: losses::losses(results, setting) }
    }

    /// One page that loads nothing.
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// The same in Markdown. Its figures are files that [`Report::write`] puts beside it.
    pub fn markdown(&self) -> String {
        markdown::render(&self.title(), &self.sections(), &self.results.walls)
    }

    /// All numbers.
    pub fn json(&self) -> String {
        let (results, setting) = (self.results, self.setting);
        let waiting = waiting::all(results, setting);
        let everything = Everything { where_it_loses: &self.losses, setting, results, waiting };
        let mut json = serde_json::to_string_pretty(&everything).expect("the report has only string keys");
        json.push('\n');
        json
    }

    /// Writes `index.html`, `report.md` with its figures, and `report.json` into a folder, which is made where it is
    /// not there.
    ///
    /// # Errors
    /// Folders and files that cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("index.html"), self.html())?;
        std::fs::write(folder.join("report.md"), self.markdown())?;
        std::fs::write(folder.join("report.json"), self.json())?;
        for section in self.sections() {
            for block in section.blocks {
                if let Block::Figure(name, svg, _) = block {
                    std::fs::write(folder.join(name), svg)?;
                }
            }
        }
        for (index, wall) in self.results.walls.iter().enumerate() {
            for crop in &wall.crops {
                std::fs::write(folder.join(markdown::crop_file(index, &crop.codec)), &crop.webp)?;
            }
        }
        Ok(())
    }

    fn title(&self) -> String {
        let ours: Vec<_> =
            self.results.contenders.iter().filter(|c| c.ours).map(|c| c.name.as_str()).collect();
        let count = self.results.pictures.len();
        format!("{} on {}", ours.join(" and "), format::count(count, "picture"))
    }

    fn sections(&self) -> Vec<Section> {
        content::sections(self.results, self.setting, &self.losses)
    }
}

#[cfg(test)]
impl Setting {
    pub(super) fn example() -> Setting {
        Setting {
            command: "bottleneck compare pictures".into(),
            date: "2026-01-31".into(),
            machine: "a machine".into(),
            cores: 2,
            load: Some(0.5),
            prices: Prices { gigabyte: 0.05, core_hour: 0.04, views: 1.0 },
            missing: vec!["heic cannot be compared".into()],
            browser: None,
            network: Err("not asked for".into()),
        }
    }
}
