//! How a q or k projection's rows stand in a GGUF file.

/// How a tensor's rows stand in the file.
#[derive(Clone, Copy)]
pub(super) enum RowOrder {
    /// As in the Hugging Face checkpoint.
    Same,
    /// Within each of `heads`, row `2 * j + i` of the file is row `i * half + j` of the checkpoint, where `half` is
    /// half a head: files of architecture `llama` turn neighbours by the rotary angle, not values half a head apart.
    PairsInterleaved {
        /// Heads that the rows are split into.
        heads: usize,
    },
}

impl RowOrder {
    /// Gives the place in the file of a row of the checkpoint, for a tensor of `rows`. The error is what the rows are
    /// expected to be.
    pub(super) fn place_in_file(self, rows: usize) -> Result<impl Fn(usize) -> usize + Sync, String> {
        let half = match self {
            Self::Same => None,
            Self::PairsInterleaved { heads } => match rows / heads / 2 {
                half if half * heads * 2 == rows => Some(half),
                _ => return Err(format!("{heads} heads of even size")),
            },
        };
        Ok(move |row| half.map_or(row, |half| interleaved(row, half)))
    }
}

fn interleaved(row: usize, half: usize) -> usize {
    let (head, row) = (row / (2 * half), row % (2 * half));
    let (i, j) = (row / half, row % half);
    head * 2 * half + 2 * j + i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_pairs_are_found_within_each_head() {
        let place = RowOrder::PairsInterleaved { heads: 2 }.place_in_file(8).unwrap();
        let places: Vec<usize> = (0..8).map(place).collect();
        assert_eq!(places, [0, 2, 1, 3, 4, 6, 5, 7]);
        let place = RowOrder::PairsInterleaved { heads: 1 }.place_in_file(6).unwrap();
        assert_eq!((0..6).map(place).collect::<Vec<_>>(), [0, 2, 4, 1, 3, 5]);
    }

    #[test]
    fn rows_that_are_not_heads_of_even_size_are_refused() {
        let refused = |rows, heads| RowOrder::PairsInterleaved { heads }.place_in_file(rows).err();
        assert_eq!(refused(8, 3).as_deref(), Some("3 heads of even size"));
        assert_eq!(refused(6, 2).as_deref(), Some("2 heads of even size"));
        assert_eq!(refused(1, 2).as_deref(), Some("2 heads of even size"));
    }
}
