//! Pages of long lists: which rows a query returns, and whether more follow.

use crate::limits::PAGE_ROWS_MAX;

/// Number of a page; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageNumber(u32);

impl PageNumber {
    /// The first page.
    pub const FIRST: Self = Self(1);

    /// Creates the number of a page; 0 is the first page too.
    pub fn new(number: u32) -> Self {
        Self(number.max(1))
    }

    /// The number, from 1.
    pub fn number(self) -> u32 {
        self.0
    }

    /// `OFFSET` of the query.
    pub(super) fn offset(self) -> i64 {
        i64::from(self.0 - 1) * PAGE_ROWS_MAX
    }

    /// `LIMIT` of the query: one more row than the page has.
    pub(super) fn limit() -> i64 {
        PAGE_ROWS_MAX + 1
    }
}

/// The rows of one page, at most [`PAGE_ROWS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether rows follow on the next page.
    pub has_next: bool,
}

impl<T> Paged<T> {
    /// Takes the rows of a query with [`PageNumber::limit`].
    pub(super) fn new(mut rows: Vec<T>) -> Self {
        let max = usize::try_from(PAGE_ROWS_MAX).expect("a small number");
        let has_next = rows.len() > max;
        rows.truncate(max);
        Self { rows, has_next }
    }

    /// Replaces each row; the order stays.
    pub fn map<U>(self, row: impl FnMut(T) -> U) -> Paged<U> {
        Paged { rows: self.rows.into_iter().map(row).collect(), has_next: self.has_next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_rows_and_the_one_after_it_only_if_more_follow() {
        let max = usize::try_from(PAGE_ROWS_MAX).unwrap();
        assert_eq!(Paged::new(vec![0; max]), Paged { rows: vec![0; max], has_next: false });
        assert_eq!(Paged::new(vec![0; max + 1]), Paged { rows: vec![0; max], has_next: true });
        assert_eq!(PageNumber::new(0), PageNumber::FIRST);
        assert_eq!((PageNumber::FIRST.offset(), PageNumber::new(3).offset()), (0, 2 * PAGE_ROWS_MAX));
        assert_eq!(PageNumber::new(u32::MAX).offset() / PAGE_ROWS_MAX, i64::from(u32::MAX) - 1);
    }
}
