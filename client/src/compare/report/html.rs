//! The report as one page that loads nothing: styles, script, figures and crops are in it.

use std::fmt::Write;

use base64::Engine;
use bottleneck_model::evaluate::svg::escape;

use super::{Block, Report, Section, Table};
use crate::compare::crops::{Crop, Wall};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn render(report: &Report<'_>) -> String {
    let (title, sections) = (report.title(), report.sections());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n<header><h1>{0}</h1><nav>",
        escape(&title)
    );
    for Section { title, anchor, .. } in &sections {
        add(&mut page, format_args!("<a href=\"#{anchor}\">{}</a> ", escape(title)));
    }
    page.push_str("</nav></header>\n<main>\n");
    for section in &sections {
        add(
            &mut page,
            format_args!("<section id=\"{}\"><h2>{}</h2>", section.anchor, escape(&section.title)),
        );
        for block in &section.blocks {
            write_block(block, &report.results.walls, &mut page);
        }
        page.push_str("</section>\n");
    }
    add(&mut page, format_args!("</main>\n<script>\n{SCRIPT}</script>"));
    page
}

fn write_block(block: &Block, walls: &[Wall], page: &mut String) {
    match block {
        Block::Paragraph(words) => add(page, format_args!("<p>{}</p>", escape(words))),
        Block::List(lines) => {
            page.push_str("<ul>");
            lines.iter().for_each(|line| add(page, format_args!("<li>{}</li>", escape(line))));
            page.push_str("</ul>\n");
        }
        Block::Table(table) => write_table(table, page),
        Block::Figure(_, svg, words) => {
            add(page, format_args!("<figure role=\"img\" aria-label=\"{}\">{svg}</figure>", escape(words)));
        }
        Block::Wall => walls.iter().for_each(|wall| write_wall(wall, page)),
    }
}

fn write_table(table: &Table, page: &mut String) {
    let sortable = if table.sortable { " class=\"sortable\"" } else { "" };
    add(page, format_args!("<div class=\"scroll\" tabindex=\"0\"><table{sortable}><thead><tr>"));
    let right: Vec<&str> = numeric(table).map(|right| if right { " class=\"n\"" } else { "" }).collect();
    for (cell, class) in table.head.iter().zip(&right) {
        add(page, format_args!("<th scope=\"col\"{class}>{}</th>", escape(cell)));
    }
    page.push_str("</tr></thead><tbody>");
    for row in &table.rows {
        page.push_str("<tr>");
        for (cell, class) in row.iter().zip(&right) {
            add(page, format_args!("<td{class}>{}</td>", escape(cell)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// For each column, whether its first known cell begins with a number.
pub(super) fn numeric(table: &Table) -> impl Iterator<Item = bool> {
    (0..table.head.len()).map(|column| {
        let cells = table.rows.iter().filter_map(move |row| row.get(column));
        let known = cells.map(|cell| cell.trim_start_matches(['+', '−'])).find(|cell| *cell != "–");
        // The first column names what the row is about, be it a number.
        column > 0 && known.is_some_and(|cell| cell.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Two crops under a slider, and all of them side by side, which is what print and pages without script show.
fn write_wall(wall: &Wall, page: &mut String) {
    let (_, _, width, height) = wall.region;
    add(
        page,
        format_args!(
            "<article class=\"wall\" style=\"--w:{width};--h:{height}\"><h3>{}</h3>\
             <p>{} against the best of the others at equal quality.</p><div class=\"crops\">",
            escape(&wall.picture),
            super::format::percent(wall.saving)
        ),
    );
    for Crop { codec, bytes, webp } in &wall.crops {
        let bytes =
            bytes.map_or(String::new(), |bytes| format!(", {} bytes", super::format::bytes(bytes as f64)));
        let data = base64::engine::general_purpose::STANDARD.encode(webp);
        let name = escape(codec);
        add(
            page,
            format_args!(
                "<figure data-codec=\"{name}\"><img width=\"{width}\" height=\"{height}\" alt=\"{name}\" \
                 src=\"data:image/webp;base64,{data}\"><figcaption>{name}{bytes}</figcaption></figure>"
            ),
        );
    }
    page.push_str("</div></article>\n");
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a string cannot fail");
}
