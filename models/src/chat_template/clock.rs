//! `strftime_now`: the date in a prompt, of a time that the caller passes in, in UTC and English.
//!
//! The calendar arithmetic is Howard Hinnant's `civil_from_days`: years start in March, so that the leap day is last.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const SECONDS_A_DAY: u64 = 86_400;

/// Formats the time by the codes of C's `strftime` that templates use; another code is an error.
pub(super) fn strftime(format: &str, now: SystemTime) -> Result<String, Error> {
    let time = CivilTime::of(now);
    let mut output = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            let code = characters.next().unwrap_or('%');
            let field = time.field(code).ok_or_else(|| {
                Error::new(ErrorKind::InvalidOperation, format!("`strftime_now` knows no code `%{code}`"))
            })?;
            output.push_str(&field);
        } else {
            output.push(character);
        }
    }
    Ok(output)
}

struct CivilTime {
    year: u64,
    month: usize,
    day: u64,
    weekday: usize,
    second_of_day: u64,
}

impl CivilTime {
    /// A time before 1970 counts as 1970: no clock that is right says so.
    fn of(now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let days = seconds / SECONDS_A_DAY;
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: month as usize,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            weekday: ((days + 4) % 7) as usize,
            second_of_day: seconds % SECONDS_A_DAY,
        }
    }

    fn field(&self, code: char) -> Option<String> {
        let hour = self.second_of_day / 3_600;
        Some(match code {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{:02}", self.month),
            'B' => MONTHS[self.month - 1].to_owned(),
            'b' => MONTHS[self.month - 1][..3].to_owned(),
            'd' => format!("{:02}", self.day),
            'A' => WEEKDAYS[self.weekday].to_owned(),
            'a' => WEEKDAYS[self.weekday][..3].to_owned(),
            'H' => format!("{hour:02}"),
            'I' => format!("{:02}", (hour + 11) % 12 + 1),
            'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'M' => format!("{:02}", self.second_of_day / 60 % 60),
            'S' => format!("{:02}", self.second_of_day % 60),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}
