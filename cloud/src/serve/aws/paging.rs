//! Pages of lists: `maxResults` and `nextToken`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::error::AwsError;
use crate::limits::AWS_PAGE_ROWS;

/// Which page of a list is requested.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Paging {
    /// Maximum number of rows, 1..=250.
    #[serde(default)]
    max_results: Option<u64>,
    /// What the page before has as `nextToken`.
    #[serde(default)]
    next_token: Option<String>,
}

impl Paging {
    /// `max_results` and `next_token` of a request with further parameters.
    pub fn new(max_results: Option<u64>, next_token: Option<String>) -> Self {
        Self { max_results, next_token }
    }

    /// `LIMIT` of the query: one more row than the page has.
    ///
    /// Errors: `InvalidRequestException` for `maxResults` outside its range.
    pub fn limit(&self) -> Result<i64, AwsError> {
        let rows = self.max_results.unwrap_or(*AWS_PAGE_ROWS.end());
        match AWS_PAGE_ROWS.contains(&rows) {
            true => Ok(i64::try_from(rows).expect("at most 250") + 1),
            false => Err(AwsError::invalid(format!("maxResults of {rows}, {AWS_PAGE_ROWS:?} are taken"))),
        }
    }

    /// The row after which the page begins; `None` for the first page.
    ///
    /// Errors: `InvalidRequestException` for a token that this list did not return.
    pub fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, AwsError> {
        let Some(token) = &self.next_token else { return Ok(None) };
        let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let row = text.and_then(|text| text.parse().ok());
        row.map(Some).ok_or_else(|| AwsError::invalid("nextToken is not one that this list returned"))
    }

    /// Takes the rows of a query with [`limit`](Self::limit): returns those of the page, and the token of the next one.
    ///
    /// `key`: what the query is ordered by.
    pub fn page<T, K: ToString>(
        &self,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<(Vec<T>, Option<String>), AwsError> {
        let max = usize::try_from(self.limit()? - 1).expect("at most 250");
        if rows.len() <= max {
            return Ok((rows, None));
        }
        rows.truncate(max);
        let token = rows.last().map(|last| URL_SAFE_NO_PAD.encode(key(last).to_string()));
        Ok((rows, token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_list_have_each_row_once() {
        let all = ["a", "b", "c", "d", "e"];
        let (mut seen, mut token) = (Vec::new(), None);
        for page in 1.. {
            let paging = Paging::new(Some(2), token);
            let after: Option<String> = paging.after().unwrap();
            let rest = all.iter().filter(|row| after.as_deref().is_none_or(|after| **row > after));
            let limit = usize::try_from(paging.limit().unwrap()).unwrap();
            let (rows, next) = paging.page(rest.take(limit).collect(), |row| row.to_string()).unwrap();
            seen.extend(rows.into_iter().copied());
            token = next;
            if token.is_none() {
                assert_eq!(page, 3);
                break;
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_foreign_token_and_a_page_outside_its_range_are_refused() {
        assert!(Paging::new(None, Some("!".into())).after::<String>().is_err());
        assert!(Paging::new(None, Some(URL_SAFE_NO_PAD.encode("x"))).after::<i64>().is_err());
        assert!(Paging::new(Some(0), None).limit().is_err() && Paging::new(Some(251), None).limit().is_err());
        assert_eq!(Paging::default().limit().unwrap(), 251);
    }
}
