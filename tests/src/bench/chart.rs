//! A bar chart as SVG, readable on light and on dark.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 290.0;
const ROW: f64 = 30.0;
const TOP: f64 = 44.0;

/// Horizontal bars with their values; the last one stands out.
#[must_use]
pub fn bars(title: &str, bars: &[(&str, f64)]) -> String {
    let most = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let mut drawn = String::new();
    let mut y = TOP;
    for (index, (name, value)) in bars.iter().enumerate() {
        let length = (WIDTH - LEFT - 70.0) * value / most;
        let colour = if index + 1 == bars.len() { "#d9730d" } else { "#6b8fb3" };
        let middle = y + 14.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            drawn,
            "<text x='{0}' y='{middle}' text-anchor='end'>{name}</text>\
             <rect x='{LEFT}' y='{y}' width='{length:.1}' height='18' rx='2' fill='{colour}'/>\
             <text x='{1:.1}' y='{middle}'>{value:.0}</text>",
            LEFT - 10.0,
            LEFT + length + 8.0
        );
        y += ROW;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' font-family='sans-serif' font-size='13' role='img'>\n\
         <title>{title}</title>\n<style>text {{ fill: #333 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} }}</style>\n\
         <text x='10' y='22' font-size='15'>{title}</text>\n{drawn}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_bar_has_its_name_and_value() {
        let drawn = super::bars("cost", &[("plain", 10.0), ("ours", 25.0)]);
        assert!(drawn.contains(">plain<") && drawn.contains(">25<") && drawn.ends_with("</svg>\n"));
    }
}
