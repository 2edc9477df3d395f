//! SHAKE-128 (FIPS 202), which the accumulated vectors of XAES are made with. For tests only: plain and slow.

const RATE_BYTES: usize = 168;
const ROUNDS: usize = 24;

/// A sponge that takes bytes.
pub(super) struct Shake128 {
    lanes: [u64; 25],
    position: usize,
}

/// A sponge that gives bytes.
pub(super) struct Squeezing(Shake128);

impl Shake128 {
    pub(super) fn absorbing() -> Self {
        Self { lanes: [0; 25], position: 0 }
    }

    pub(super) fn absorb(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.xor_byte(self.position, *byte);
            self.position += 1;
            if self.position == RATE_BYTES {
                self.permute();
            }
        }
    }

    pub(super) fn squeezing(mut self) -> Squeezing {
        self.xor_byte(self.position, 0x1f);
        self.xor_byte(RATE_BYTES - 1, 0x80);
        self.permute();
        Squeezing(self)
    }

    fn xor_byte(&mut self, position: usize, byte: u8) {
        self.lanes[position / 8] ^= u64::from(byte) << (8 * (position % 8));
    }

    /// Keccak-f[1600], section 3.3; lane (x, y) is element 5 y + x.
    fn permute(&mut self) {
        let mut constants = RoundConstants(1);
        for _ in 0..ROUNDS {
            self.theta();
            self.rho_pi();
            self.chi();
            self.lanes[0] ^= constants.next();
        }
        self.position = 0;
    }

    fn theta(&mut self) {
        let parity: [u64; 5] = std::array::from_fn(|x| (0..5).fold(0, |sum, y| sum ^ self.lanes[5 * y + x]));
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let x = i % 5;
            *lane ^= parity[(x + 4) % 5] ^ parity[(x + 1) % 5].rotate_left(1);
        }
    }

    fn rho_pi(&mut self) {
        let (mut x, mut y) = (1, 0);
        let mut moving = self.lanes[1];
        for t in 0..24u32 {
            (x, y) = (y, (2 * x + 3 * y) % 5);
            let rotated = moving.rotate_left((t + 1) * (t + 2) / 2 % 64);
            moving = std::mem::replace(&mut self.lanes[5 * y + x], rotated);
        }
    }

    fn chi(&mut self) {
        for row in self.lanes.chunks_exact_mut(5) {
            let old: [u64; 5] = std::array::from_fn(|x| row[x]);
            for x in 0..5 {
                row[x] ^= !old[(x + 1) % 5] & old[(x + 2) % 5];
            }
        }
    }
}

/// The shift register that the round constants come from, section 3.2.5.
struct RoundConstants(u8);

impl RoundConstants {
    fn next(&mut self) -> u64 {
        (0..7).fold(0, |constant, j| {
            let bit = u64::from(self.0 & 1);
            self.0 = (self.0 << 1) ^ ((self.0 >> 7) * 0x71);
            constant | bit << ((1 << j) - 1)
        })
    }
}

impl Squeezing {
    fn byte(&mut self) -> u8 {
        if self.0.position == RATE_BYTES {
            self.0.permute();
        }
        let position = self.0.position;
        self.0.position += 1;
        (self.0.lanes[position / 8] >> (8 * (position % 8))) as u8
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A length byte and that many bytes.
    pub(super) fn short_string(&mut self) -> Vec<u8> {
        let len = self.byte();
        (0..len).map(|_| self.byte()).collect()
    }
}

#[test]
fn the_stream_of_the_empty_input_is_the_known_one() {
    let start =
        [0x7f, 0x9c, 0x2b, 0xa4, 0xe8, 0x8f, 0x82, 0x7d, 0x61, 0x60, 0x45, 0x50, 0x76, 0x05, 0x85, 0x3e];
    assert_eq!(Shake128::absorbing().squeezing().array(), start);
}
