//! QR codes in a terminal.

use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

use super::paint::Paint;

/// Cells of white around a code, without which readers do not find it (ISO/IEC 18004, section 5.3.8).
const QUIET: i32 = 4;

/// Largest version: with its quiet zone it is 77 columns wide, and has up to 425 bytes.
const MAX_VERSION: u8 = 13;

/// Returns the lines of a code, each of which shows two rows of cells; `None` if the text is too long for one.
///
/// With colours it is black on white on every terminal. Without them light cells are drawn, as on a dark terminal; most
/// readers find it on a light one, too, where it is inverse.
pub(super) fn lines(text: &str, paint: &Paint) -> Option<Vec<String>> {
    let code = encode(text, QrCodeEcc::Low)?;
    let cells = -QUIET..code.size() + QUIET;
    let rows = cells.clone().step_by(2);
    let line = |row: i32| {
        // A cell below the last row is outside the code, and light.
        let pair = |column| (code.get_module(column, row), code.get_module(column, row + 1));
        let drawn: String =
            cells.clone().map(|column| if paint.0 { dark(pair(column)) } else { light(pair(column)) }).collect();
        paint.black_on_white(&drawn)
    };
    Some(rows.map(line).collect())
}

/// Returns the rows of a code without the white around it, with `1` for a dark cell and `0` for a light one; `None` if
/// the text is too long for one.
pub(crate) fn rows(text: &str) -> Option<Vec<String>> {
    let code = encode(text, QrCodeEcc::Medium)?;
    let row = |row| (0..code.size()).map(|column| if code.get_module(column, row) { '1' } else { '0' }).collect();
    Some((0..code.size()).map(row).collect())
}

fn encode(text: &str, correction: QrCodeEcc) -> Option<QrCode> {
    let (segments, largest) = (QrSegment::make_segments(text), Version::new(MAX_VERSION));
    QrCode::encode_segments_advanced(&segments, correction, Version::MIN, largest, None, true).ok()
}

/// Returns how many columns and rows the code of a text has, if there is one.
pub fn size(text: &str) -> Option<(usize, usize)> {
    let lines = lines(text, &Paint(false))?;
    Some((lines.first()?.chars().count(), lines.len()))
}

/// Draws the dark ones of two cells, one above the other.
fn dark(cells: (bool, bool)) -> char {
    match cells {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

/// Draws the light ones.
fn light((upper, lower): (bool, bool)) -> char {
    dark((!upper, !lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a camera sees of a terminal: cells as squares of pixels, bright or not.
    struct Screen(Vec<Vec<bool>>);

    impl Screen {
        /// Draws lines as a terminal does, whose own background is bright or not.
        fn of(lines: &[String], is_light: bool) -> Screen {
            let mut rows = Vec::new();
            for line in lines {
                let (mut foreground, mut background) = (!is_light, is_light);
                let (mut upper, mut lower) = (Vec::new(), Vec::new());
                let mut rest = line.as_str();
                while let Some(cell) = rest.chars().next() {
                    if let Some(code) = rest.strip_prefix("\x1b[") {
                        let (sgr, behind) = code.split_once('m').unwrap();
                        (foreground, background) = match sgr {
                            "30;107" => (false, true),
                            "0" => (!is_light, is_light),
                            other => panic!("{other}"),
                        };
                        rest = behind;
                        continue;
                    }
                    let (above, below) = match cell {
                        '█' => (foreground, foreground),
                        '▀' => (foreground, background),
                        '▄' => (background, foreground),
                        ' ' => (background, background),
                        other => panic!("{other:?}"),
                    };
                    upper.push(above);
                    lower.push(below);
                    rest = &rest[cell.len_utf8()..];
                }
                rows.extend([upper, lower]);
            }
            Screen(rows)
        }

        fn inverted(mut self) -> Screen {
            self.0.iter_mut().flatten().for_each(|pixel| *pixel = !*pixel);
            self
        }

        /// Reads the code in the middle of a screen with a margin in the terminal's colour.
        fn read(&self, is_light: bool) -> Option<String> {
            const SCALE: usize = 4;
            const MARGIN: usize = 8;
            let (height, width) = (self.0.len() + 2 * MARGIN, self.0[0].len() + 2 * MARGIN);
            let pixel = |x: usize, y: usize| {
                let (x, y) = ((x / SCALE).wrapping_sub(MARGIN), (y / SCALE).wrapping_sub(MARGIN));
                let is_bright = self.0.get(y).and_then(|row| row.get(x)).copied().unwrap_or(is_light);
                if is_bright { 255 } else { 0 }
            };
            let mut image = rqrr::PreparedImage::prepare_from_greyscale(width * SCALE, height * SCALE, pixel);
            let grids = image.detect_grids();
            grids.first()?.decode().ok().map(|(_, text)| text)
        }
    }

    fn texts() -> Vec<String> {
        let url = "wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456";
        let long = format!("wss://{}.example.org/ws?pin={}", "a".repeat(60), "%C3%A9".repeat(55));
        vec!["a".into(), url.into(), "WS://A/WS?PIN=1".into(), long]
    }

    #[test]
    fn a_reader_finds_what_is_shown_in_colours_on_every_terminal() {
        for text in texts() {
            let lines = lines(&text, &Paint(true)).unwrap();
            for is_light in [false, true] {
                assert_eq!(Screen::of(&lines, is_light).read(is_light).as_deref(), Some(&*text), "{is_light}");
            }
        }
    }

    #[test]
    fn without_colours_it_is_right_on_dark_terminals_and_inverse_on_light_ones() {
        for text in texts() {
            let lines = lines(&text, &Paint(false)).unwrap();
            assert!(lines.iter().all(|line| !line.contains('\x1b')));
            assert_eq!(Screen::of(&lines, false).read(false).as_deref(), Some(&*text));
            assert_eq!(Screen::of(&lines, true).inverted().read(false).as_deref(), Some(&*text));
        }
    }

    #[test]
    fn a_usual_url_takes_half_a_screen_and_one_that_is_too_long_none() {
        let lines_of = |text: &str| lines(text, &Paint(false));
        let lines = lines_of(&texts()[1]).unwrap();
        assert!(lines.len() <= 21 && lines.iter().all(|line| line.chars().count() <= 41), "{}", lines.len());
        assert!(lines_of(&"a".repeat(425)).unwrap().iter().all(|line| line.chars().count() <= 77));
        assert_eq!(lines_of(&"a".repeat(426)), None);
    }
}
