//! What speaks against the codecs under test, in sentences, worst kinds first.

use bottleneck_model::evaluate::metrics::Metric;

use super::format::{bytes, count, percent};
use super::waiting::{self, Race};
use super::{Setting, Transfer};
use crate::compare::results::{Comparison, Contender};
use crate::compare::savings::{Savings, Spread};

pub(super) fn losses(results: &Comparison, setting: &Setting) -> Vec<String> {
    let mut said = Vec::new();
    for ours in results.contenders.iter().filter(|contender| contender.ours) {
        larger(results, &ours.name, &mut said);
        graphics(results, &ours.name, &mut said);
        finest(results, &ours.name, &mut said);
        slower(results, &ours.name, &mut said);
        waits(results, setting, ours, &mut said);
    }
    not_compared(results, setting, &mut said);
    said
}

/// More bytes at equal quality, by any match or metric.
fn larger(results: &Comparison, ours: &str, said: &mut Vec<String>) {
    for (wanted, savings) in results.matches.iter().zip(&results.savings) {
        let own: Vec<&Savings> = savings.iter().filter(|saving| saving.codec == ours).collect();
        let words = wanted.words();
        // The pictures that it does not reach are the same against every other codec.
        if let Some(saving) = own.first().filter(|saving| saving.unreached > 0) {
            let all = saving.pictures + saving.unreached + saving.unreached_by_other;
            said.push(format!(
                "{ours} does not reach the quality ({words}) on {} of {}.",
                saving.unreached,
                count(all, "picture")
            ));
        }
        let list = |figure: &dyn Fn(&Spread) -> bool, value: &dyn Fn(&Spread) -> f64| -> Vec<String> {
            let known = own.iter().filter_map(|saving| Some((saving, saving.spread?)));
            let lost = known.filter(|(_, spread)| figure(spread));
            lost.map(|(saving, spread)| {
                format!("{:.1} % more bytes than {}", -value(&spread), saving.against)
            })
            .collect()
        };
        let median = list(&|spread| spread.median < 0.0, &|spread| spread.median);
        if !median.is_empty() {
            said.push(format!(
                "At the same quality ({words}) {ours} needs, in the median over pictures, {}.",
                median.join(", ")
            ));
        }
        let tenth = list(&|spread| spread.median >= 0.0 && spread.p10 < 0.0, &|spread| spread.p10);
        if !tenth.is_empty() {
            said.push(format!(
                "On one picture of ten {ours} needs at least {} ({words}), though it saves in the median.",
                tenth.join(", ")
            ));
        }
    }
    let more = results.bd_rates.iter().filter(|bd| bd.codec == ours).filter_map(|bd| {
        let rate = bd.rate.filter(|rate| rate.percent > 0.0)?;
        Some(format!("{} against {} at equal {}", percent(rate.percent), bd.against, bd.metric.name()))
    });
    let more: Vec<String> = more.collect();
    if !more.is_empty() {
        said.push(format!("Over the whole curve {ours} needs more bits (BD-rate): {}.", more.join(", ")));
    }
}

fn graphics(results: &Comparison, ours: &str, said: &mut Vec<String>) {
    let graphics = results.pictures.iter().filter(|picture| picture.graphic).count();
    if graphics == 0 {
        let none = "None of these pictures looks like text or graphics, where codecs of photographs, this one among \
                    them, do badly: this report says nothing of such pictures.";
        if !said.iter().any(|line| line == none) {
            said.push(none.into());
        }
        return;
    }
    for other in results.contenders.iter().filter(|contender| !contender.ours) {
        let saving = results.savings_of(ours, &other.name, 0, |picture| picture.graphic);
        let words = saving.spread.map_or("cannot be compared".into(), |spread| {
            format!("saves {} in the median", percent(spread.median))
        });
        said.push(format!(
            "Text and graphics ({}): against {} {ours} {words}, and misses the quality on {}.",
            count(graphics, "picture"),
            other.name,
            saving.unreached
        ));
    }
}

/// Others that go on where the curve of the codec under test ends.
fn finest(results: &Comparison, ours: &str, said: &mut Vec<String>) {
    let best = |name: &str| {
        let curve = results.curves.iter().find(|curve| curve.codec == name)?;
        curve
            .means
            .iter()
            .map(|mean| mean.ssimulacra2)
            .max_by(f64::total_cmp)
            .filter(|value| value.is_finite())
    };
    let Some(own) = best(ours) else { return };
    let others = results.contenders.iter().filter(|contender| !contender.ours);
    let finer: Vec<&str> =
        others.filter(|c| best(&c.name).is_some_and(|b| b > own)).map(|c| c.name.as_str()).collect();
    if !finer.is_empty() {
        said.push(format!(
            "Very high quality: the finest pictures of {ours} reach a mean {} of {own:.1}; {} go beyond it.",
            Metric::Ssimulacra2.label(),
            finer.join(", ")
        ));
    }
}

fn slower(results: &Comparison, ours: &str, said: &mut Vec<String>) {
    let decode = |name: &str| results.per_pixel(name, |times| times.decode.one_core);
    let encode = |name: &str| results.per_pixel(name, |times| times.encode.one_core);
    let ratios = |figure: &dyn Fn(&str) -> Option<f64>| -> Vec<String> {
        let Some(own) = figure(ours) else { return Vec::new() };
        let others = results.contenders.iter().filter(|contender| !contender.ours);
        let ratio = |contender: &Contender| Some((contender.name.clone(), own / figure(&contender.name)?));
        let slower = others.filter_map(ratio).filter(|(_, ratio)| *ratio > 1.05);
        slower.map(|(name, ratio)| format!("{ratio:.1} times as long as {name}")).collect()
    };
    for (what, list) in [("Decoding", ratios(&decode)), ("Encoding", ratios(&encode))] {
        if !list.is_empty() {
            said.push(format!("{what} with {ours} takes {} on one core.", list.join(", ")));
        }
    }
}

/// Time to picture, and the first visit.
fn waits(results: &Comparison, setting: &Setting, ours: &Contender, said: &mut Vec<String>) {
    if ours.download > 0 {
        said.push(format!(
            "First visit: a browser loads {} bytes before {} shows its first picture.",
            bytes(ours.download as f64),
            ours.name
        ));
    }
    for waiting in waiting::all(results, setting).iter().filter(|waiting| waiting.codec == ours.name) {
        let decoder = if waiting.in_browser { "in the browser" } else { "with native decoders" };
        let mut sooner = Vec::new();
        for against in &waiting.against {
            match against.race {
                Race::Never => sooner.push(format!("{} on every link", against.codec)),
                Race::Below(rate) => sooner.push(format!("{} above {rate:.1} Mbit/s", against.codec)),
                Race::Above(rate) => sooner.push(format!("{} below {rate:.1} Mbit/s", against.codec)),
                Race::Always => {}
            }
        }
        if !sooner.is_empty() {
            said.push(format!("Sooner seen than {} {decoder}: {}.", ours.name, sooner.join(", ")));
        }
        let never: Vec<_> =
            waiting.against.iter().filter(|against| against.pictures_to_gain.is_none()).collect();
        if ours.download > 0 && !never.is_empty() && !waiting.in_browser {
            let names: Vec<_> = never.iter().map(|against| against.codec.as_str()).collect();
            said.push(format!(
                "Against {} the decoder of {} is never earned back: its codes are no smaller.",
                names.join(", "),
                ours.name
            ));
        }
    }
}

/// What was left out.
fn not_compared(results: &Comparison, setting: &Setting, said: &mut Vec<String>) {
    for (picture, series) in results.failures() {
        let reason = series.failure.as_deref().unwrap_or_default();
        said.push(format!("{} could not be taken by {}: {reason}.", picture.name, series.codec));
    }
    said.extend(setting.missing.iter().map(|reason| format!("Not compared: {reason}.")));
    if !results.unusable.is_empty() {
        let named: Vec<_> =
            results.unusable.iter().map(|u| format!("{} ({})", u.picture, u.reason)).collect();
        said.push(format!("{} left out: {}.", count(named.len(), "picture"), named.join("; ")));
    }
    if let Ok(transfers) = &setting.network {
        let off = |transfer: &Transfer| (transfer.measured / transfer.computed - 1.0).abs();
        if let Some(worst) =
            transfers.iter().max_by(|a, b| off(a).total_cmp(&off(b))).filter(|t| off(t) > 0.1)
        {
            said.push(format!(
                "The arithmetic of links is off by {} for {} over {}.",
                percent(100.0 * (worst.measured / worst.computed - 1.0)),
                worst.codec,
                worst.link
            ));
        }
    }
}
