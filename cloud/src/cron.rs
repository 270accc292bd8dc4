//! Cron expressions in AWS's syntax: `cron(minutes hours day-of-month month day-of-week year)`, in UTC.
//!
//! Source: Amazon EventBridge user guide, "Cron expressions". The pages of AWS IoT name the form and no rules of their own.

mod days;
mod field;

use time::Date;

use self::days::Days;
use self::field::Field;

/// When something begins, again and again. Its only constructor is [`Cron::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: Field,
    hours: Field,
    days: Days,
    months: Field,
    years: Field,
}

impl Cron {
    /// Reads an expression.
    ///
    /// Errors: the reason, with the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inside = text.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')'));
        let fields: Vec<&str> = inside.unwrap_or_default().split_ascii_whitespace().collect();
        let [minutes, hours, of_month, months, of_week, years] = fields[..] else {
            return Err("cron(minutes hours day-of-month month day-of-week year) is taken".to_owned());
        };
        Ok(Self {
            minutes: field::MINUTES.read(minutes)?,
            hours: field::HOURS.read(hours)?,
            days: Days::read(of_month, of_week)?,
            months: field::MONTHS.read(months)?,
            years: field::YEARS.read(years)?,
        })
    }

    /// Returns whether it begins at some time of this day.
    pub fn includes(&self, date: Date) -> bool {
        let year = u16::try_from(date.year()).unwrap_or_default();
        self.years.has(year) && self.months.has(u16::from(u8::from(date.month()))) && self.days.include(date)
    }

    /// Returns the minutes of such a day at which it begins, in order.
    pub fn minutes_of_day(&self) -> impl Iterator<Item = u16> {
        self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| hour * 60 + minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Month;

    /// The days of a month that an expression includes.
    fn days(text: &str, year: i32, month: Month) -> Vec<u8> {
        let cron = Cron::parse(text).unwrap();
        let all = (1..=month.length(year)).map(|day| Date::from_calendar_date(year, month, day).unwrap());
        all.filter(|date| cron.includes(*date)).map(Date::day).collect()
    }

    /// March 2027 begins with a Monday, August 2027 with a Sunday; May 2027 ends with a Monday, and begins with a Saturday.
    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, month, expected) in [
            ("cron(0 2 ? * SUN *)", Month::March, vec![7, 14, 21, 28]),
            ("cron(0 2 ? * 2-4 *)", Month::March, vec![1, 2, 3, 8, 9, 10, 15, 16, 17, 22, 23, 24, 29, 30, 31]),
            ("cron(0 2 1,15 * ? *)", Month::March, vec![1, 15]),
            ("cron(0 2 28/2 MAR-may ? *)", Month::March, vec![28, 30]),
            ("cron(0 2 1 APR ? *)", Month::March, vec![]),
            ("cron(0 2 1 * ? 2028-2030)", Month::March, vec![]),
            ("cron(0 2 L * ? *)", Month::February, vec![28]),
            ("cron(0 2 30 * ? *)", Month::February, vec![]),
            ("cron(0 2 1W * ? *)", Month::May, vec![3]),
            ("cron(0 2 15W * ? *)", Month::May, vec![14]),
            ("cron(0 2 1W * ? *)", Month::August, vec![2]),
            ("cron(0 2 31W * ? *)", Month::October, vec![29]),
            ("cron(0 2 ? * 2#1 *)", Month::May, vec![3]),
            ("cron(0 2 ? * MON#5 *)", Month::April, vec![]),
            ("cron(0 2 ? * 6L *)", Month::March, vec![26]),
            ("cron(0 2 ? * L *)", Month::March, vec![6, 13, 20, 27]),
        ] {
            assert_eq!(days(text, 2027, month), expected, "{text}");
        }
    }

    #[test]
    fn times_of_a_day_are_in_order() {
        let minutes = |text| Cron::parse(text).unwrap().minutes_of_day().collect::<Vec<_>>();
        assert_eq!(minutes("cron(0/20 1,3 * * ? *)"), [60, 80, 100, 180, 200, 220]);
        assert_eq!(minutes("cron(30 22-23 * * ? *)"), [1350, 1410]);
        assert_eq!(minutes("cron(* * * * ? *)").len(), 1440);
    }

    #[test]
    fn what_aws_does_not_take_is_refused_with_its_field() {
        for (text, word) in [
            ("0 2 ? * SUN *", "is taken"),
            ("cron(0 2 ? * SUN)", "is taken"),
            ("cron(60 2 ? * SUN *)", "minutes"),
            ("cron(-1 2 ? * SUN *)", "minutes"),
            ("cron(1-0 2 ? * SUN *)", "minutes"),
            ("cron(0/0 2 ? * SUN *)", "minutes"),
            ("cron(0 24 ? * SUN *)", "hours"),
            ("cron(0 ? ? * SUN *)", "hours"),
            ("cron(0 2 0 * ? *)", "day-of-month"),
            ("cron(0 2 32W * ? *)", "day-of-month"),
            ("cron(0 2 ? SUN ? *)", "?"),
            ("cron(0 2 * * * *)", "?"),
            ("cron(0 2 1 * 1 *)", "?"),
            ("cron(0 2 1 13 ? *)", "month"),
            ("cron(0 2 ? * 8 *)", "day-of-week"),
            ("cron(0 2 ? * SUN#6 *)", "day-of-week"),
            ("cron(0 2 ? * SOON *)", "day-of-week"),
            ("cron(0 2 ? * SUN 1969)", "year"),
            ("cron(0 2 ? * SUN 2200)", "year"),
            ("cron(0,, 2 ? * SUN *)", "minutes"),
        ] {
            let refused = Cron::parse(text).unwrap_err();
            assert!(refused.contains(word), "{text}: {refused}");
        }
    }
}
