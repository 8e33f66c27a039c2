//! Bytes read as decisions, and how they change texts.

/// The rest of a script. At its end, every decision is the first option.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let value = usize::from(self.byte());
        let value = if count > 256 { value << 8 | usize::from(self.byte()) } else { value };
        value % count.max(1)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns true once in `count` times.
    pub(crate) fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub(crate) fn u32(&mut self) -> u32 {
        const EDGES: [u32; 10] = [0, 1, 2, 3, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, u32::MAX, 508_401];
        match self.below(4) {
            0 => self.bytes(4).iter().fold(0, |value, byte| value << 8 | u32::from(*byte)),
            1 => self.byte().into(),
            _ => self.pick(&EDGES),
        }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        match self.below(4) {
            0 => u64::MAX - u64::from(self.byte()),
            1 => u64::from(self.u32()) << 32 | u64::from(self.u32()),
            2 => 1 << self.below(64),
            _ => self.u32().into(),
        }
    }
}

/// Replacements for a value.
const VALUES: [&str; 12] = [
    "",
    "0",
    "-1",
    "1",
    "65535",
    "4294967296",
    "18446744073709551616",
    "\u{e9}\u{0}",
    "actpass",
    "passive",
    ":",
    " a b c",
];

/// Lines that no honest side sends.
const LINES: [&str; 14] = [
    "m=audio 9 UDP/TLS/RTP/SAVPF 0 96\r\n",
    "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    "a=ice-lite\r\n",
    "a=sctp-init:AQAAJAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
    "a=max-message-size:1\r\n",
    "a=setup:passive\r\n",
    "a=setup:holdconn\r\n",
    "a=group:BUNDLE\r\n",
    "a=mid:\r\n",
    "a=fingerprint:sha-256 00\r\n",
    "a=candidate:1 1 udp 4294967295 10.0.0.2 9 typ prflx raddr 0.0.0.0 rport 0\r\n",
    "a=candidate:1 2 tcp 1 ff02::1 9 typ host tcptype active\r\n",
    "a=ssrc:1 cname:x\r\n",
    "a=rtpmap:96 VP8/90000\r\n",
];

/// Changes a text in a few places.
pub(crate) fn change(script: &mut Script<'_>, text: &str) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for _ in 0..=script.below(3) {
        if lines.is_empty() {
            lines.push(String::new());
        }
        let index = script.below(lines.len());
        match script.below(7) {
            0 => drop(lines.remove(index)),
            1 => lines.insert(index, lines[index].clone()),
            2 => lines.insert(index, script.pick(&LINES).to_owned()),
            3 => lines[index] = with_value(&lines[index], script.pick(&VALUES)),
            4 => {
                let len = script.pick(&[3, 16, 17, 111, 112, 128, 200, 257, 5000]);
                lines[index] = with_value(&lines[index], &"u".repeat(len));
            }
            5 => lines[index] = lines[index].chars().rev().collect(),
            _ => {
                let at = script.below(lines[index].chars().count().max(1));
                let other = char::from(script.byte());
                lines[index] = lines[index].chars().enumerate().map(|(i, c)| if i == at { other } else { c }).collect();
            }
        }
    }
    lines.concat()
}

fn with_value(line: &str, value: &str) -> String {
    let name = line.split_once(':').map_or("", |(name, _)| name);
    format!("{name}:{value}\r\n")
}
