//! Numbers as people read them.

/// Percent with a real minus sign.
pub(super) fn percent(value: f64) -> String {
    signed(format!("{value:+.1} %"))
}

pub(super) fn signed(text: String) -> String {
    text.replace('-', "−")
}

/// Bytes with separated thousands.
pub(super) fn bytes(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds, as milliseconds below one.
pub(super) fn seconds(value: f64) -> String {
    if value < 0.9995 { format!("{:.0} ms", value * 1e3) } else { format!("{value:.2} s") }
}

pub(super) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_set_as_people_read_them() {
        assert_eq!([bytes(7.0), bytes(1234.4), bytes(1_234_567.0)], ["7", "1,234", "1,234,567"]);
        assert_eq!([percent(-3.25), percent(12.0)], ["−3.2 %", "+12.0 %"]);
        assert_eq!([seconds(0.0123), seconds(1.5)], ["12 ms", "1.50 s"]);
        assert_eq!([count(1, "picture"), count(0, "picture")], ["1 picture", "0 pictures"]);
    }
}
