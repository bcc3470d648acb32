//! The report as Markdown.

use super::{Block, Section, Table};
use crate::compare::crops::Wall;

pub(super) fn render(title: &str, sections: &[Section], walls: &[Wall]) -> String {
    let mut text = format!("# {title}\n");
    for section in sections {
        text.push_str(&format!("\n## {}\n", section.title));
        for block in &section.blocks {
            text.push('\n');
            match block {
                Block::Paragraph(words) => text.push_str(&format!("{}\n", escape(words))),
                Block::List(lines) => {
                    lines.iter().for_each(|line| text.push_str(&format!("- {}\n", escape(line))));
                }
                Block::Table(table) => write_table(table, &mut text),
                Block::Figure(file, _, words) => text.push_str(&format!("![{}]({file})\n", escape(words))),
                Block::Wall => walls.iter().enumerate().for_each(|at| write_wall(at, &mut text)),
            }
        }
    }
    text
}

/// Name of a crop's file, beside the Markdown file.
pub(super) fn crop_file(wall: usize, codec: &str) -> String {
    let codec: String = codec.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("crop-{}-{codec}.webp", wall + 1)
}

fn write_table(table: &Table, text: &mut String) {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    text.push_str(&line(table.head.iter().map(|cell| escape(cell)).collect()));
    text.push_str(&line(
        super::html::numeric(table).map(|right| if right { "---:" } else { "---" }.into()).collect(),
    ));
    for row in &table.rows {
        text.push_str(&line(row.iter().map(|cell| escape(cell)).collect()));
    }
}

fn write_wall((index, wall): (usize, &Wall), text: &mut String) {
    text.push_str(&format!("**{}**\n\n", escape(&wall.picture)));
    for crop in &wall.crops {
        let bytes = crop.bytes.map_or(String::new(), |bytes| format!(", {bytes} bytes"));
        text.push_str(&format!("![{}{bytes}]({})\n", escape(&crop.codec), crop_file(index, &crop.codec)));
    }
    text.push('\n');
}

/// Text that Markdown and the HTML in it leave alone.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '[' | ']' | '`' | '\\' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_break_a_table() {
        let table =
            Table { head: vec!["a|b".into()], rows: vec![vec!["x|<y>\n_z_".into()]], sortable: false };
        let section = Section { title: "t".into(), anchor: "t", blocks: vec![Block::Table(table)] };
        let text = render("r", &[section], &[]);
        assert!(text.contains("| a\\|b |\n| --- |\n| x\\|&lt;y> \\_z\\_ |\n"), "{text}");
        assert_eq!(crop_file(0, "a b/c"), "crop-1-a-b-c.webp");
    }
}
