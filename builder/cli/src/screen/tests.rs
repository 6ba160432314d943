use super::*;

/// A terminal as far as a screen uses one: it breaks long lines, scrolls, and keeps what scrolled away.
struct Terminal {
    size: Size,
    /// Everything, scrolled away or not; the last `size.rows` are what can be reached.
    grid: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Terminal {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            size: Size { columns, rows },
            grid: vec![Vec::new()],
            row: 0,
            column: 0,
        }
    }

    fn top(&self) -> usize {
        self.grid.len().saturating_sub(self.size.rows)
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.grid.len() {
            self.grid.push(Vec::new());
        }
    }

    fn write(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                // As a terminal line discipline does.
                '\n' => {
                    self.column = 0;
                    self.down();
                }
                '\r' => self.column = 0,
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['));
                    let mut number = String::new();
                    let command = loop {
                        let c = chars.next().unwrap();
                        if c.is_ascii_digit() {
                            number.push(c);
                        } else {
                            break c;
                        }
                    };
                    match command {
                        'A' => {
                            let up: usize = number.parse().unwrap();
                            self.row = self.row.saturating_sub(up).max(self.top());
                        }
                        'K' => self.grid[self.row].truncate(self.column),
                        other => panic!("an unknown command {other}"),
                    }
                }
                c => {
                    if self.column == self.size.columns {
                        self.column = 0;
                        self.down();
                    }
                    let row = &mut self.grid[self.row];
                    while row.len() <= self.column {
                        row.push(' ');
                    }
                    row[self.column] = c;
                    self.column += 1;
                }
            }
        }
    }

    /// Makes it narrower, breaking lines anew as terminals do.
    fn narrow(&mut self, columns: usize) {
        self.size.columns = columns;
        let mut grid = Vec::new();
        for (index, row) in self.grid.iter().enumerate() {
            if index == self.row {
                self.row = grid.len();
            }
            match row.len() {
                0 => grid.push(Vec::new()),
                _ => grid.extend(row.chunks(columns).map(<[char]>::to_vec)),
            }
        }
        self.grid = grid;
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.grid.iter().map(|row| row.iter().collect()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

fn drawn(lines: &[&str]) -> Vec<Drawn> {
    let line = |text: &&str| Drawn {
        text: (*text).to_owned(),
        columns: text.chars().count(),
    };
    lines.iter().map(line).collect()
}

struct Setup {
    terminal: Terminal,
    screen: Screen,
}

impl Setup {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            terminal: Terminal::new(columns, rows),
            screen: Screen::new(),
        }
    }

    fn draw(&mut self, lines: &[&str]) {
        let text = self.screen.draw(drawn(lines), self.terminal.size);
        self.terminal.write(&text);
    }

    fn print(&mut self, text: &str) {
        let text = self.screen.print_above(text, self.terminal.size);
        self.terminal.write(&text);
    }

    fn clear(&mut self) {
        let text = self.screen.clear(self.terminal.size);
        self.terminal.write(&text);
    }

    #[track_caller]
    fn check(&self, lines: &[&str]) {
        assert_eq!(self.terminal.lines(), lines);
        assert_eq!(self.terminal.column, 0, "the cursor rests at the start");
    }
}

#[test]
fn lines_are_drawn_over_and_printed_lines_stay_above() {
    let mut setup = Setup::new(20, 10);
    setup.print("before");
    setup.check(&["before"]);
    setup.draw(&["one running", "two running", "total 0"]);
    setup.check(&["before", "one running", "two running", "total 0"]);
    setup.draw(&["one", "total 1"]);
    setup.check(&["before", "one", "total 1"]);
    setup.print("two done");
    setup.check(&["before", "two done", "one", "total 1"]);
    setup.print("a line that is broken over three rows of it\nand another");
    setup.draw(&["total 2"]);
    let rows = ["a line that is broke", "n over three rows of", " it"];
    setup.check(&[
        "before",
        "two done",
        rows[0],
        rows[1],
        rows[2],
        "and another",
        "total 2",
    ]);
    setup.clear();
    setup.check(&[
        "before",
        "two done",
        rows[0],
        rows[1],
        rows[2],
        "and another",
    ]);
}

#[test]
fn what_does_not_change_is_not_written() {
    let mut screen = Screen::new();
    let size = Size {
        columns: 20,
        rows: 10,
    };
    assert!(!screen.draw(drawn(&["one"]), size).is_empty());
    assert_eq!(screen.draw(drawn(&["one"]), size), "");
    screen.clear(size);
    assert_eq!(screen.clear(size), "");
}

#[test]
fn at_the_bottom_of_the_screen_nothing_is_left_behind_in_what_scrolls_away() {
    let mut setup = Setup::new(20, 4);
    let mut expected: Vec<String> = Vec::new();
    for number in 0..20 {
        setup.draw(&["running", &format!("{number} of 20")]);
        setup.print(&format!("done {number}"));
        expected.push(format!("done {number}"));
    }
    setup.clear();
    assert_eq!(setup.terminal.lines(), expected);
}

#[test]
fn a_terminal_that_becomes_narrower_is_drawn_on_where_it_was() {
    let mut setup = Setup::new(30, 10);
    setup.print("before");
    setup.draw(&["a line of twenty-five chars", "short"]);
    setup.terminal.narrow(10);
    setup.draw(&["a line…", "short"]);
    setup.check(&["before", "a line…", "short"]);
    setup.terminal.narrow(8);
    setup.print("after");
    setup.clear();
    setup.check(&["before", "after"]);
}

#[test]
fn what_is_typed_meanwhile_goes_away() {
    let mut setup = Setup::new(30, 10);
    setup.draw(&["running"]);
    setup.terminal.write("^C");
    setup.draw(&["stopping"]);
    setup.check(&["stopping"]);
    setup.terminal.write("^C");
    setup.print("stopped");
    setup.clear();
    setup.check(&["stopped"]);
}

#[test]
fn what_others_wrote_is_not_drawn_over() {
    let mut setup = Setup::new(30, 10);
    setup.draw(&["running"]);
    setup.terminal.write("[1]+ Stopped\r\n$ fg\r\n");
    setup.screen.forget();
    setup.draw(&["still running"]);
    setup.check(&["running", "[1]+ Stopped", "$ fg", "still running"]);
}
