//! Curves, such as rate–distortion, as an SVG picture.

use std::fmt::Write;

/// What a picture of curves is of.
pub struct Chart<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// Title of the horizontal axis, with its unit.
    pub x: &'a str,
    /// Title of the vertical axis, with its unit.
    pub y: &'a str,
    /// Points beyond this are left out where a curve has nearer ones: nobody compares there.
    pub largest_x: f64,
}

/// PSNR over bits per pixel.
pub const RATE_DISTORTION: Chart<'_> =
    Chart { title: "Rate and distortion", x: "Rate (bits per pixel)", y: "PSNR-RGB (dB)", largest_x: 2.0 };

/// A curve to draw.
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// By x, from left to right.
    pub points: Vec<(f64, f64)>,
    /// What the others are compared with (known from elsewhere, not measured in this run): dashed, with hollow
    /// markers.
    pub reference: bool,
}

/// M. Okabe and K. Ito, "Color universal design" (2008), without yellow, which white swallows.
pub const COLORS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 600.0;
/// Plot area: left, top, right, bottom.
const AREA: [f64; 4] = [70.0, 50.0, 690.0, 540.0];

/// Draws the curves.
pub fn draw(chart: &Chart<'_>, series: &[Series]) -> String {
    let axes = Axes::around(series, chart.largest_x);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="14">
<title>{title}</title>
<rect width="{WIDTH}" height="{HEIGHT}" fill="#FFFFFF"/>
<text x="{AREA_LEFT}" y="30" font-size="17">{title}</text>
"##,
        title = escape(chart.title),
        AREA_LEFT = AREA[0],
    );
    axes.draw(&mut svg, chart);
    let [left, top, right, bottom] = AREA;
    let (width, height) = (right - left, bottom - top);
    add(
        &mut svg,
        format_args!(
            // With room for markers on the border.
            r#"<clipPath id="area"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>"#,
            left - 6.0,
            top - 6.0,
            width + 12.0,
            height + 12.0
        ),
    );
    for (index, one) in series.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        // Curves of one kind take the shapes in turn; the kinds differ by dash and fill.
        let shape = series[..index].iter().filter(|other| other.reference == one.reference).count();
        let (dash, fill) =
            if one.reference { (r#" stroke-dasharray="6 4""#, "#FFFFFF") } else { ("", color) };
        let places: Vec<(f64, f64)> = one.points.iter().map(|&point| axes.place(point)).collect();
        let line: String = places.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        add(&mut svg, format_args!(r#"<g stroke="{color}" stroke-width="2" fill="{fill}">"#));
        add(
            &mut svg,
            format_args!(
                r#"<g clip-path="url(#area)"><polyline points="{}" fill="none"{dash}/>"#,
                line.trim_end()
            ),
        );
        for (x, y) in places {
            add(&mut svg, format_args!("{}", marker(shape, x, y)));
        }
        let (x, y) = (right + 20.0, top + 12.0 + 26.0 * index as f64);
        add(
            &mut svg,
            format_args!(
                r#"</g><line x1="{x}" y1="{y}" x2="{}" y2="{y}"{dash}/>{}</g>"#,
                x + 36.0,
                marker(shape, x + 18.0, y)
            ),
        );
        add(&mut svg, format_args!(r#"<text x="{}" y="{}">{}</text>"#, x + 44.0, y + 5.0, escape(&one.name)));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Ranges of both axes.
struct Axes {
    x: f64,
    y: (f64, f64),
}

impl Axes {
    /// x from 0, y as far as the curves reach.
    fn around(series: &[Series], largest: f64) -> Axes {
        let all = || series.iter().flat_map(|one| &one.points).copied();
        let limit = if all().any(|(x, _)| x <= largest) { largest } else { f64::INFINITY };
        let shown = || all().filter(|&(x, _)| x <= limit);
        let right = shown().fold(0.0, |most: f64, (x, _)| most.max(x));
        let low = shown().fold(f64::INFINITY, |least, (_, y)| y.min(least));
        let high = shown().fold(f64::NEG_INFINITY, |most, (_, y)| y.max(most));
        if right == 0.0 {
            return Axes { x: 1.0, y: (25.0, 45.0) };
        }
        let low = low.floor();
        Axes { x: right * 1.02, y: (low, high.ceil().max(low + 1.0)) }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, top, right, bottom] = AREA;
        let along = left + (right - left) * x / self.x;
        (along, bottom - (bottom - top) * (y - self.y.0) / (self.y.1 - self.y.0))
    }

    fn draw(&self, svg: &mut String, chart: &Chart<'_>) {
        let [left, top, right, bottom] = AREA;
        let marks = ticks(0.0, self.x);
        let step = marks.get(1).map_or(1.0, |second| second - marks[0]);
        let digits = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
        for mark in marks {
            let (x, _) = self.place((mark, self.y.0));
            add(
                svg,
                format_args!(
                    r##"<line x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom}" stroke="#DDDDDD"/>"##
                ),
            );
            let y = bottom + 20.0;
            add(svg, format_args!(r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{mark:.digits$}</text>"#));
        }
        for mark in ticks(self.y.0, self.y.1) {
            let (_, y) = self.place((0.0, mark));
            add(
                svg,
                format_args!(
                    r##"<line x1="{left}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="#DDDDDD"/>"##
                ),
            );
            let digits = usize::from(mark.fract() != 0.0);
            add(
                svg,
                format_args!(
                    r#"<text x="{}" y="{:.1}" text-anchor="end">{mark:.digits$}</text>"#,
                    left - 8.0,
                    y + 5.0
                ),
            );
        }
        let (width, height) = (right - left, bottom - top);
        add(
            svg,
            format_args!(
                r##"<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#000000"/>"##
            ),
        );
        let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
        add(
            svg,
            format_args!(
                r#"<text x="{x}" y="{}" text-anchor="middle">{}</text>"#,
                bottom + 45.0,
                escape(chart.x)
            ),
        );
        add(
            svg,
            format_args!(
                r#"<text x="22" y="{y}" text-anchor="middle" transform="rotate(-90 22 {y})">{}</text>"#,
                escape(chart.y)
            ),
        );
    }
}

/// Five to twelve round numbers from `low` to `high`.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let power = 10f64.powf(((high - low) / 12.0).log10().ceil());
    let step =
        [0.1, 0.2, 0.5, 1.0].map(|part| part * power).into_iter().find(|step| (high - low) / step <= 12.0);
    let step = step.unwrap_or(power);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// The SVG element of one of six shapes, centred.
pub fn marker(shape: usize, x: f64, y: f64) -> String {
    match shape % 6 {
        0 => format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5"/>"#),
        1 => format!(r#"<path d="M{x:.1} {y:.1}m-4 -4h8v8h-8z"/>"#),
        2 => format!(r#"<path d="M{x:.1} {y:.1}m0 -5l5 9h-10z"/>"#),
        3 => format!(r#"<path d="M{x:.1} {y:.1}m0 -6l6 6l-6 6l-6 -6z"/>"#),
        4 => format!(r#"<path d="M{x:.1} {y:.1}m0 5l5 -9h-10z"/>"#),
        _ => format!(r#"<path d="M{x:.1} {y:.1}m-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4z"/>"#),
    }
}

fn add(svg: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(svg, "{line}").expect("writing to a string cannot fail");
}

/// Text for an SVG or HTML document.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, points: &[(f64, f64)], reference: bool) -> Series {
        Series { name: name.into(), points: points.to_vec(), reference }
    }

    /// Every tag closed in order, every attribute quoted, no bare `&` or `<` in text. Returns tag names.
    fn check_well_formed(xml: &str) -> Vec<&str> {
        let (mut open, mut seen, mut rest) = (Vec::new(), Vec::new(), xml.trim());
        while let Some(start) = rest.find('<') {
            let text = &rest[..start];
            for entity in text.split('&').skip(1) {
                assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|e| entity.starts_with(e)), "{text}");
            }
            let end = rest.find('>').expect("a tag must end");
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else {
                let name = tag.split([' ', '/']).next().unwrap();
                seen.push(name);
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
            assert!(!open.is_empty() || rest.is_empty(), "one root element");
        }
        assert!(open.is_empty() && rest.is_empty());
        seen
    }

    #[test]
    fn the_picture_is_well_formed_and_has_every_point_and_name() {
        let curves = [
            series("ours & <theirs>", &[(0.1, 28.0), (0.5, 33.0), (2.5, 41.0)], false),
            series("jpeg", &[(0.3, 27.0), (1.2, 35.5)], false),
            series("VTM", &[(0.05, 26.0), (0.9, 37.4)], true),
        ];
        let svg = draw(&Chart { title: "PSNR \"over\" rate", ..RATE_DISTORTION }, &curves);
        let tags = check_well_formed(&svg);
        assert_eq!(tags.iter().filter(|tag| **tag == "polyline").count(), 3);
        // Markers: first curve of each kind has circles (3 + 2 points), and each name has one in the legend.
        assert_eq!(tags.iter().filter(|tag| **tag == "circle").count(), 5 + 2);
        assert_eq!(tags.iter().filter(|tag| **tag == "path").count(), 2 + 1);
        assert!(
            svg.contains("ours &amp; &lt;theirs&gt;")
                && svg.contains("bits per pixel")
                && svg.contains("(dB)")
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_to_draw_is_still_a_picture() {
        check_well_formed(&draw(&RATE_DISTORTION, &[]));
        let svg = draw(&RATE_DISTORTION, &[series("x", &[(5.0, 40.0)], false)]);
        check_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(26.0, 41.0), [26.0, 28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0]);
        let rates = ticks(0.0, 2.04);
        assert_eq!(rates.len(), 11);
        assert!((rates[10] - 2.0).abs() < 1e-9);
    }
}
