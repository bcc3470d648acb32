//! Pictures of the page: reconstructions, the latent plane and its manifold, samples, traversals.

use super::super::neighbours;
use super::html::{Sheet, figure, missing, section};
use super::{Kind, LabError, Material, Shown, name, prose};
use crate::train::init::normal;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fmt::Write;

/// Pictures in a row of reconstructions.
const ROW: usize = 14;
/// Sides of the manifold.
const GRID: usize = 20;
/// Points of the latent plane that are drawn.
const POINTS: usize = 4000;

/// The originals that are shown: one of each class in turn, where there are classes.
fn chosen(material: &Material) -> Vec<usize> {
    let test = &material.data.test;
    let count = material.data.count(test);
    let mut found: Vec<usize> = (0..ROW)
        .filter_map(|i| {
            let wanted = (i % 10) as u8;
            let mut of = test.labels.iter().enumerate().filter(|(_, label)| **label == wanted);
            of.nth(i / 10).map(|(index, _)| index)
        })
        .collect();
    if found.is_empty() {
        found = (0..count.min(ROW)).collect();
    }
    found
}

/// Originals against reconstructions, narrowest bottleneck first.
pub(super) fn reconstructions(material: &Material) -> Result<String, LabError> {
    let (data, indices) = (&material.data, chosen(material));
    let size = data.size();
    let originals: Vec<u8> =
        indices.iter().flat_map(|&index| &data.test.pixels[index * size..][..size]).copied().collect();
    let shape = [data.height, data.width];
    let mut lines = String::new();
    let mut line = |label: &str, pixels: &[u8]| -> Result<(), LabError> {
        let sheet = Sheet::new(pixels, shape, indices.len(), true).html(1.8, label)?;
        writeln!(lines, "<span>{label}</span>{sheet}").expect("writing to a string cannot fail");
        Ok(())
    };
    line("original", &originals)?;
    let models = material.of(Kind::DenseAe).into_iter().chain(material.of(Kind::ConvAe));
    for shown in models.chain(material.vaes()) {
        let decoded = shown.trained.decode(&shown.trained.encode(&originals)?)?;
        line(&format!("{}, {}", shown.kind().name(), shown.k()), &decoded)?;
        if shown.kind() == Kind::DenseAe {
            let pca = material.pca.decode(&material.pca.encode(&originals, shown.k()), shown.k());
            line(&format!("PCA, {}", shown.k()), &pca)?;
        }
    }
    let text = "The pictures of the test set on top; below, what is left of them after a bottleneck of so many numbers. Two \
                numbers keep the kind of digit and something of its slant; 32 keep the hand that wrote it.";
    let figures = format!("<div class=\"lines\">{lines}</div>");
    Ok(section("reconstructions", "Through the bottleneck", &prose(text), &figures))
}

/// Latent plane and manifold of every model with two numbers.
pub(super) fn planes(material: &Material) -> Result<String, LabError> {
    let two: Vec<&Shown> = material.shown.iter().filter(|shown| shown.k() == 2).collect();
    let text = "With two numbers the bottleneck can be drawn: every dot is a test picture, coloured by its class, which no \
                model was told. Beside it, what the decoder makes of a grid over the same plane. An autoencoder leaves holes \
                and goes as far out as it likes; the KL term of a variational one pulls everything to a standard normal \
                distribution, so that every place decodes to something, and the grid can be laid at equal probability.";
    if two.is_empty() {
        let command = "bottleneck-lab fit --model vae --bottleneck 2 --data mnist --out runs/vae-2";
        return Ok(section("plane", "Two numbers are a map", &prose(text), &missing(command)));
    }
    let mut figures = String::new();
    for shown in two {
        let data = &material.data;
        let separated = if data.test.labels.is_empty() {
            String::new()
        } else {
            let known = shown.trained.encode(&data.train.pixels)?;
            let (labels, expected) = (&data.train.labels, &data.test.labels);
            let accuracy = neighbours::accuracy(&known, labels, &shown.latents, expected, 2);
            format!(
                " The nearest training picture in the plane has the right class for {:.1} % of the test pictures.",
                100.0 * accuracy
            )
        };
        let (low, high) = range(&shown.latents);
        let plane = plane(&shown.latents, &data.test.labels, low, high);
        let mut grid = Vec::with_capacity(2 * GRID * GRID);
        for row in 0..GRID {
            for column in 0..GRID {
                let place = |at: usize, k: usize| {
                    let share = (at as f64 + 0.5) / GRID as f64;
                    match shown.kind().variational() {
                        true => normal_quantile(share) as f32,
                        false => low[k] + (high[k] - low[k]) * share as f32,
                    }
                };
                grid.extend([place(column, 0), place(GRID - 1 - row, 1)]);
            }
        }
        let manifold = Sheet::new(&shown.trained.decode(&grid)?, [data.height, data.width], GRID, false);
        let how = match shown.kind().variational() {
            true => "at the quantiles of the normal prior",
            false => "evenly over the plane",
        };
        let dots = figure(&plane, &format!("{}: the test pictures.{separated}", name(shown)));
        let caption = format!("{}: the plane decoded, {how}.", name(shown));
        let zoom = 480.0 / (GRID * data.width) as f64;
        let grid = figure(&manifold.html(zoom, &caption)?, &caption);
        write!(figures, "<div class=\"row pair\">{dots}{grid}</div>")
            .expect("writing to a string cannot fail");
    }
    Ok(section("plane", "Two numbers are a map", &prose(text), &figures))
}

/// Samples of the prior, decoded.
pub(super) fn samples(material: &Material) -> Result<String, LabError> {
    let text = "The prior of a variational autoencoder is a standard normal distribution: draw from it, decode, and there is a \
                picture that nobody drew. A plain autoencoder says nothing of where its codes lie, so it cannot be sampled. The \
                same prior is what the codec codes with: it pays −log₂ p for every number.";
    let vaes = material.vaes();
    if vaes.is_empty() {
        let command = "bottleneck-lab fit --model vae --bottleneck 20 --data mnist --out runs/vae-20";
        return Ok(section("samples", "Samples from the prior", &prose(text), &missing(command)));
    }
    let mut figures = String::from("<div class=\"row\">");
    for shown in vaes {
        let mut rng = StdRng::seed_from_u64(11);
        let z: Vec<f32> = (0..100 * shown.k()).map(|_| normal(&mut rng)).collect();
        let shape = [material.data.height, material.data.width];
        let sheet = Sheet::new(&shown.trained.decode(&z)?, shape, 10, true);
        let caption = format!("{}: 100 samples.", name(shown));
        figures += &figure(&sheet.html(1.1, &caption)?, &caption);
    }
    figures += "</div>";
    Ok(section("samples", "Samples from the prior", &prose(text), &figures))
}

/// One number of the bottleneck moved at a time.
pub(super) fn traversals(material: &Material) -> Result<String, LabError> {
    const COLUMNS: usize = 13;
    const MOST: usize = 10;
    let text = "Each row moves one number of the bottleneck from −3 to 3 and holds the others where a test picture has them; \
                the numbers that cost most come first. With a small β many numbers share what a digit looks like; with a large \
                one few are left, and each does more on its own.";
    let mut models = material.of(Kind::BetaVae);
    models.sort_by(|a, b| a.beta().total_cmp(&b.beta()));
    // The ends of a sweep say most.
    let ends: Vec<&Shown> = match models[..] {
        [] => material.vaes().into_iter().take(1).collect(),
        [only] => vec![only],
        [first, .., last] => vec![first, last],
    };
    if ends.is_empty() {
        let command =
            "bottleneck-lab fit --model beta-vae --beta 4 --bottleneck 16 --data mnist --out runs/beta-4";
        return Ok(section("traversals", "What does a number mean?", &prose(text), &missing(command)));
    }
    let start = chosen(material).get(7).or(chosen(material).first()).copied().unwrap_or(0);
    let mut figures = String::from("<div class=\"row pair\">");
    for shown in ends {
        let k = shown.k();
        let own = &shown.latents[start * k..][..k];
        let cost = &shown.trained.run.test.kl_each;
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&a, &b| cost[b].total_cmp(&cost[a]));
        order.truncate(MOST);
        let mut z = vec![];
        for &number in &order {
            for column in 0..COLUMNS {
                let mut moved = own.to_vec();
                moved[number] = -3.0 + 6.0 * column as f32 / (COLUMNS - 1) as f32;
                z.extend(moved);
            }
        }
        let shape = [material.data.height, material.data.width];
        let sheet = Sheet::new(&shown.trained.decode(&z)?, shape, COLUMNS, true);
        let bits: Vec<String> =
            order.iter().map(|&n| format!("{:.1}", cost[n] / std::f64::consts::LN_2)).collect();
        let caption = format!("{}: bits of KL from the top: {}.", name(shown), bits.join(", "));
        figures += &figure(&sheet.html(1.3, &caption)?, &caption);
    }
    figures += "</div>";
    Ok(section("traversals", "What does a number mean?", &prose(text), &figures))
}

/// 1st to 99th percentile of both coordinates, a little widened.
fn range(latents: &[f32]) -> ([f32; 2], [f32; 2]) {
    let (mut low, mut high) = ([0.0; 2], [0.0; 2]);
    for k in 0..2 {
        let mut values: Vec<f32> = latents[k..].iter().step_by(2).copied().collect();
        values.sort_by(f32::total_cmp);
        let (a, b) = (values[values.len() / 100], values[values.len() - 1 - values.len() / 100]);
        let margin = 0.05 * (b - a).max(1e-3);
        (low[k], high[k]) = (a - margin, b + margin);
    }
    (low, high)
}

/// Ten colours that can be told apart (P. Green-Armytage's and matplotlib's "tab10", with a darker olive).
const COLORS: [&str; 10] = [
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#9a9a00",
    "#17becf",
];

/// The dots, coloured by label, with a legend.
fn plane(latents: &[f32], labels: &[u8], low: [f32; 2], high: [f32; 2]) -> String {
    const SIDE: f32 = 480.0;
    let mut groups = vec![String::new(); COLORS.len()];
    for (index, z) in latents.chunks_exact(2).take(POINTS).enumerate() {
        let [x, y] = [0, 1].map(|k| (z[k] - low[k]) / (high[k] - low[k]));
        if (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y) {
            let group = usize::from(labels.get(index).copied().unwrap_or(0)) % COLORS.len();
            // A line of no length with round ends is the shortest dot.
            write!(groups[group], "M{:.1} {:.1}h0", x * SIDE, (1.0 - y) * SIDE).expect("a string");
        }
    }
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="540" height="{SIDE}" viewBox="0 0 540 {SIDE}" role="img" aria-label="Latent plane" font-family="sans-serif" font-size="15"><rect width="{SIDE}" height="{SIDE}" fill="#fff" stroke="#999"/>"##
    );
    for (class, (dots, color)) in
        groups.iter().zip(COLORS).enumerate().filter(|(_, (dots, _))| !dots.is_empty())
    {
        write!(
            svg,
            r#"<path d="{dots}" stroke="{color}" stroke-width="4" stroke-linecap="round" opacity=".75"/>"#
        )
        .expect("a string");
        if !labels.is_empty() {
            let y = 24 + 24 * class;
            write!(
                svg,
                r#"<circle cx="498" cy="{y}" r="7" fill="{color}"/><text x="512" y="{}">{class}</text>"#,
                y + 5
            )
            .expect("a string");
        }
    }
    svg + "</svg>"
}

/// Inverse of the standard normal distribution function, by bisection.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}
