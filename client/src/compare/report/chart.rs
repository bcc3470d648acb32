//! Times on a logarithmic axis: one row for each link, one mark for each codec.

use std::fmt::Write;

use bottleneck_model::evaluate::svg::{COLORS, escape, marker};

const WIDTH: f64 = 900.0;
/// Left and right end of the axis.
const AXIS: (f64, f64) = (170.0, 680.0);
const ROW: f64 = 46.0;
const TOP: f64 = 60.0;

/// Draws `rows` of a name and one value in seconds for each of `names`.
pub(super) fn draw(title: &str, names: &[String], rows: &[(String, Vec<f64>)]) -> String {
    let values = || rows.iter().flat_map(|(_, values)| values.iter().copied());
    let low = values().fold(f64::INFINITY, f64::min).max(1e-4);
    let high = values().fold(0.0, f64::max).max(low * 2.0);
    let ticks: Vec<f64> =
        (-4..=3).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power))).collect();
    let first = ticks.iter().copied().filter(|&tick| tick <= low).fold(1e-4, f64::max);
    let last = ticks.iter().copied().filter(|&tick| tick >= high).fold(1e4, f64::min);
    let place = |value: f64| AXIS.0 + (AXIS.1 - AXIS.0) * (value / first).ln() / (last / first).ln();
    let bottom = TOP + ROW * rows.len() as f64;
    let height = (bottom + 60.0).max(TOP + 26.0 * names.len() as f64 + 30.0);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14">
<title>{title}</title>
<rect width="{WIDTH}" height="{height}" fill="#FFFFFF"/>
<text x="20" y="30" font-size="17">{title}</text>
"##,
        title = escape(title)
    );
    let mut add = |line: std::fmt::Arguments<'_>| writeln!(svg, "{line}").expect("writing to a string");
    for tick in ticks.into_iter().filter(|tick| (first..=last).contains(tick)) {
        let x = place(tick);
        add(format_args!(r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#DDDDDD"/>"##));
        let label = if tick < 1.0 { format!("{:.4}", tick * 1e3) } else { format!("{tick:.4}") };
        let label = label.trim_end_matches('0').trim_end_matches('.');
        let unit = if tick < 1.0 { "ms" } else { "s" };
        let y = bottom + 20.0;
        add(format_args!(
            r#"<text x="{x:.1}" y="{y}" text-anchor="middle" font-size="12">{label} {unit}</text>"#
        ));
    }
    let y = bottom + 45.0;
    let middle = (AXIS.0 + AXIS.1) / 2.0;
    add(format_args!(
        r#"<text x="{middle}" y="{y}" text-anchor="middle">Time to picture, logarithmic: left is sooner</text>"#
    ));
    for (row, (name, values)) in rows.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        add(format_args!(r#"<text x="20" y="{}">{}</text>"#, y + 5.0, escape(name)));
        add(format_args!(r##"<line x1="{}" y1="{y}" x2="{}" y2="{y}" stroke="#999999"/>"##, AXIS.0, AXIS.1));
        // Marks that would cover each other stand one above the other.
        for (index, &value) in values.iter().enumerate() {
            let close = |other: f64| (place(other) - place(value)).abs() < 9.0;
            let above = values[..index].iter().filter(|&&other| close(other)).count() as f64;
            let color = COLORS[index % COLORS.len()];
            add(format_args!(
                r#"<g fill="{color}" stroke="{color}">{}</g>"#,
                marker(index, place(value), y - 10.0 * above)
            ));
        }
    }
    for (index, name) in names.iter().enumerate() {
        let (x, y) = (AXIS.1 + 40.0, TOP + 12.0 + 26.0 * index as f64);
        let color = COLORS[index % COLORS.len()];
        add(format_args!(
            r#"<g fill="{color}" stroke="{color}">{}</g><text x="{}" y="{}">{}</text>"#,
            marker(index, x, y),
            x + 16.0,
            y + 5.0,
            escape(name)
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sooner_is_further_left() {
        let names = ["ours".to_owned(), "jpeg".to_owned()];
        let svg = draw("a & b", &names, &[("3G".into(), vec![0.5, 2.0]), ("fibre".into(), vec![0.02, 0.01])]);
        let circles: Vec<f64> =
            svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
        // Ours on both links, then in the legend.
        assert_eq!(circles.len(), 3);
        assert!(circles[1] < circles[0] && svg.contains("a &amp; b") && !svg.contains("NaN"), "{svg}");
    }
}
