//! One field of a cron expression: a list of values, ranges and steps.

/// A kind of field.
pub struct Kind {
    /// Its name, for errors.
    pub name: &'static str,
    /// Smallest value.
    min: u16,
    /// Largest value.
    max: u16,
    /// Names of the values from the smallest one on, in upper case.
    names: &'static [&'static str],
}

pub const MINUTES: Kind = Kind { name: "minutes", min: 0, max: 59, names: &[] };
pub const HOURS: Kind = Kind { name: "hours", min: 0, max: 23, names: &[] };
pub const DAYS_OF_MONTH: Kind = Kind { name: "day-of-month", min: 1, max: 31, names: &[] };
pub const MONTHS: Kind = Kind {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
pub const DAYS_OF_WEEK: Kind =
    Kind { name: "day-of-week", min: 1, max: 7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };
pub const YEARS: Kind = Kind { name: "year", min: 1970, max: 2199, names: &[] };

/// The values of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    min: u16,
    /// Whether the value `min` and each one after it belong to the field.
    values: Vec<bool>,
}

impl Field {
    /// Returns whether a value belongs to the field.
    pub fn has(&self, value: u16) -> bool {
        let at = value.checked_sub(self.min).map(usize::from);
        at.and_then(|at| self.values.get(at)).copied().unwrap_or_default()
    }

    /// Returns the values in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (self.min..).zip(&self.values).filter(|(_, has)| **has).map(|(value, _)| value)
    }
}

impl Kind {
    /// Reads a field.
    ///
    /// Errors: the reason, with the name of the field.
    pub fn read(&self, text: &str) -> Result<Field, String> {
        let mut field = Field { min: self.min, values: vec![false; usize::from(self.max - self.min) + 1] };
        for item in text.split(',') {
            let (first, last, step) = self.item(item).ok_or_else(|| self.refusal(item))?;
            for value in (first..=last).step_by(usize::from(step)) {
                field.values[usize::from(value - self.min)] = true;
            }
        }
        Ok(field)
    }

    /// Returns first and last value, and the step between two: at least 1, and `first <= last`, both in range.
    fn item(&self, text: &str) -> Option<(u16, u16, u16)> {
        let (values, step) = match text.split_once('/') {
            Some((values, step)) => (values, Some(step.parse().ok().filter(|step| *step > 0)?)),
            None => (text, None),
        };
        let (first, last) = match values.split_once('-') {
            _ if values == "*" => (self.min, self.max),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            // A step begins at the value, and goes on to the end.
            None => (self.value(values)?, if step.is_some() { self.max } else { self.value(values)? }),
        };
        (first <= last).then_some((first, last, step.unwrap_or(1)))
    }

    /// Returns the value of a number in range, or of a name.
    pub fn value(&self, text: &str) -> Option<u16> {
        let named = (self.min..).zip(self.names).find(|(_, name)| text.eq_ignore_ascii_case(name));
        let digits = text.bytes().all(|c| c.is_ascii_digit());
        let number = || text.parse().ok().filter(|value| digits && (self.min..=self.max).contains(value));
        named.map(|(value, _)| value).or_else(number)
    }

    /// The error for a part of the field.
    pub fn refusal(&self, text: &str) -> String {
        format!("{} of {text:?}: {} to {} are taken", self.name, self.min, self.max)
    }
}
