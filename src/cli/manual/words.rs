//! What stands in a page of the manual beside the definition of the arguments.

/// The words of one page.
#[derive(Debug)]
pub(super) struct Words {
    /// Paragraphs behind the first sentence.
    pub(super) description: &'static [&'static str],
    /// Exit codes.
    pub(super) exit_status: &'static [(&'static str, &'static str)],
    /// Files that are read or written.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Signals that mean something.
    pub(super) signals: &'static [(&'static str, &'static str)],
    /// Something runs, and reads the variables that every run reads.
    pub(super) is_run: bool,
    /// What it does can stand in a file of settings.
    pub(super) has_settings: bool,
}

/// The words of pinhole.toml(5) beside its keys.
#[derive(Debug)]
pub(super) struct FileWords {
    /// Titles and paragraphs.
    pub(super) sections: &'static [(&'static str, &'static [&'static str])],
    /// Where such files are.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Whole files, and what each of them is.
    pub(super) examples: &'static [(&'static str, &'static str)],
}

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done: the run ended as it should, or by a signal."),
    ("1", "Failed: the last line on stderr says why; with --json it is an error event on stdout."),
    ("2", "Wrong usage: nothing was run."),
];

const INTERRUPT: (&str, &str) =
    ("SIGINT, SIGTERM", "The run ends in order, and the other side is told. A second one ends it at once.");

const HANG_UP: (&str, &str) = (
    "SIGHUP",
    "The same: the terminal was closed. It is ignored where the run was started with nohup(1). Under pinhole run, the file \
     is read again instead, unless there was a terminal and it was closed.",
);

const RELOAD: (&str, &str) = (
    "SIGHUP",
    "The file is read again, with what it names: secrets, certificates, tokens. What can change does, without touching \
     sessions that do not use it. What needs a restart is named, and stays as it was. If something in the file is wrong, \
     that is said, and everything stays as it was. If the terminal was closed, the run ends instead.",
);

const PIN_FILE: (&str, &str) =
    ("--pin-file FILE", "The pin in its first line. It is read at the start; others should not be able to read it.");

const CA_FILE: (&str, &str) =
    ("--ca FILE", "Certificates in PEM to trust instead of the system's. It is read at the start.");

const HOSTS_FILE: (&str, &str) = (
    "~/.config/pinhole/hosts.toml",
    "Hosts that --save has saved: for each a table [host.NAME] with the keys of a client in pinhole.toml(5). It has pins, \
     so nobody else can read it. XDG_CONFIG_HOME replaces ~/.config.",
);

/// The page of the program as a whole.
pub(super) const PROGRAM: Words = Words {
    description: &[
        "A host shares services, a client makes them appear on its machine. Traffic goes directly between the two over \
         WebRTC, or is relayed, sealed end to end, over the WebSocket at which they met. Both sides prove to each other \
         that they know a pin.",
        "Without a command, pinhole asks at the terminal what is to be done, and shows the command line that does the \
         same.",
    ],
    exit_status: EXIT_STATUS,
    files: &[],
    signals: &[],
    is_run: true,
    has_settings: true,
};

/// The page of a command that has no words of its own.
const OTHER: Words =
    Words { description: &[], exit_status: EXIT_STATUS, files: &[], signals: &[], is_run: true, has_settings: false };

/// Returns the words of a command's page.
pub(super) fn of(command: &str) -> &'static Words {
    match command {
        "host" => &HOST,
        "client" => &CLIENT,
        "server" => &SERVER,
        "run" => &RUN,
        "verify" => &VERIFY,
        "check" => &CHECK,
        "ping" => &PING,
        "install" | "uninstall" => &INSTALL,
        "hosts" => &HOSTS,
        "status" => &STATUS,
        "invite" | "uninvite" => &INVITE,
        "demo" => &DEMO,
        "completions" => &COMPLETIONS,
        _ => &OTHER,
    }
}

const HOSTS: Words = Words {
    description: &["Each host has a name, its URL, and (asks for the pin) where none was saved. Pins are not shown."],
    exit_status: EXIT_STATUS,
    files: &[HOSTS_FILE],
    signals: &[],
    is_run: false,
    has_settings: false,
};

const SOCKETS: (&str, &str) = (
    "NAME.sock",
    "The socket of a running process, in the first of $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/pinhole and pinhole-UID in the \
     folder for temporary files; of units in /run/pinhole/NAME. Its own user and root may use it.",
);

const STATUS: Words = Words {
    description: &[
        "Each process is asked by its socket. It is called by its --name, else by its file under pinhole-run(1), else by \
         its role and process id. A socket that nobody answers is named, and does not make the command fail. Who does not \
         answer within two seconds is not waited for.",
        "What peers say of themselves is shown escaped. No pin is shown.",
    ],
    exit_status: &[
        ("0", "Something runs; with --watch, it was watched until a signal, or until nothing ran any more."),
        ("1", "Nothing runs, or nothing of that name, or it does not answer."),
        ("2", "Wrong usage."),
    ],
    files: &[SOCKETS],
    signals: &[("SIGINT, SIGTERM", "Watching ends, with exit status 0.")],
    is_run: false,
    has_settings: false,
};

const PING: Words = Words {
    description: &[
        "It connects as a client with the pin, forwards nothing, and has the host answer once a second. Each answer is a line \
         with its path and its time. To the host it is a visit, as pinhole-check(1) is, and no client.",
    ],
    exit_status: &[
        ("0", "The host answered; with --until-direct, directly."),
        ("1", "It did not, or there was no session; the last line on stderr says why."),
        ("2", "Wrong usage: nothing was run."),
    ],
    files: &[PIN_FILE, CA_FILE, HOSTS_FILE],
    signals: &[("SIGINT, SIGTERM", "It ends in order, with its summary.")],
    is_run: true,
    has_settings: false,
};

const INVITE: Words = Words {
    description: &[
        "The host is asked by its socket. Guests have what the invitation names, and nothing else. Its pin has 16 random \
         letters unless a file gives one.",
        "Where the host does not know under which address others reach it, that is asked at the terminal, or taken from \
         --public-url. Otherwise the part to append is printed.",
    ],
    exit_status: &[
        ("0", "Done."),
        ("1", "Failed: no host runs, or it refuses; the last line on stderr says why."),
        ("2", "Wrong usage, or several hosts run and none was named."),
    ],
    files: &[SOCKETS, PIN_FILE],
    signals: &[],
    is_run: false,
    has_settings: false,
};

const HOST: Words = Words {
    description: &["The host prints the command that clients run. It dials its services when a client connects to \
                    them, and nothing else unless --allow says so."],
    exit_status: EXIT_STATUS,
    files: &[
        PIN_FILE,
        ("--token-file FILE", "The token in its first line, likewise."),
        ("--public-auth-file FILE", "USER:PASSWORD in its first line, likewise."),
        CA_FILE,
    ],
    signals: &[INTERRUPT, HANG_UP],
    is_run: true,
    has_settings: true,
};

const CLIENT: Words = Words {
    description: &["The client connects anew until the host ends the session or it is stopped. Open connections \
                    survive a lost path for --grace."],
    exit_status: EXIT_STATUS,
    files: &[
        HOSTS_FILE,
        PIN_FILE,
        ("--proxy-auth-file FILE", "USER:PASSWORD in its first line, the login that -D wants, likewise."),
        CA_FILE,
    ],
    signals: &[INTERRUPT, HANG_UP],
    is_run: true,
    has_settings: true,
};

const SERVER: Words = Words {
    description: &[
        "Traffic still goes directly between host and client. The server joins them, and cannot read what it \
                    relays for them.",
    ],
    exit_status: EXIT_STATUS,
    files: &[
        ("--tokens FILE", "Which tokens may register which ids, in TOML; see below."),
        ("--cluster-secret-file FILE", "The secrets that the servers of a cluster share, one a line."),
        ("--directory-file FILE", "The URL of the directory in its first line."),
        ("--tls-cert FILE, --tls-key FILE", "The certificate of this server and its key, in PEM."),
    ],
    signals: &[
        (
            "SIGINT, SIGTERM",
            "The server takes no further visitors, gives what is under way 10 seconds, and ends. A second one ends it \
             at once.",
        ),
        (
            "SIGHUP",
            "Tokens and certificate are read again, and under pinhole run the file of settings. If the terminal was \
             closed, the server ends.",
        ),
    ],
    is_run: true,
    has_settings: true,
};

const CHECK: Words = Words {
    description: &[
        "Nothing is forwarded. Addresses of this machine are listed, STUN servers are asked how it is seen \
                    from outside, and a host is asked for the same where its URL is given.",
    ],
    exit_status: &[
        ("0", "Nothing keeps the two sides from connecting, be it relayed."),
        ("1", "Something does, and it is said what."),
        ("2", "Wrong usage: nothing was looked at."),
    ],
    files: &[CA_FILE],
    signals: &[],
    is_run: true,
    has_settings: false,
};

const INSTALL: Words = Words {
    description: &[
        "A unit of the system runs as a user that exists only while it runs. systemd hands it its secrets, and it sees \
         neither homes nor other processes. A unit of a user runs as that user. Either is a pinhole run of the file of \
         settings, and is managed as any other unit, by systemctl status, reload and restart.",
        "An installation that fails half way is undone.",
    ],
    exit_status: &[
        ("0", "Done."),
        ("1", "Failed: the last line on stderr says why, and what is left if anything is."),
        ("2", "Wrong usage: nothing was written."),
    ],
    files: &[
        ("/etc/pinhole/NAME.toml, ~/.config/pinhole/NAME.toml", "The settings."),
        ("NAME.pin, NAME.token, NAME.public-auth, NAME.proxy-auth", "Beside them, a secret each."),
        (
            "/etc/systemd/system, ~/.config/systemd/user",
            "In pinhole@NAME.service.d, what this unit needs and what was written for it; pinhole@.service, where no \
             package brought it.",
        ),
    ],
    signals: &[],
    is_run: false,
    has_settings: true,
};

const COMPLETIONS: Words = Words {
    description: &[
        "The script is printed on stdout. It names the commands and options of this very version, so write \
                    it again after an update. Packages bring it along.",
    ],
    exit_status: &[("0", "Done."), ("1", "stdout took no more."), ("2", "Wrong usage.")],
    files: &[],
    signals: &[],
    is_run: false,
    has_settings: false,
};

const RUN: Words = Words {
    description: &[
        "The file says what pinhole host, client or server shall do, and its keys are their long options: see \
         pinhole.toml(5). OPTION is one of these options, and counts more than the file. So does the environment.",
        "Secrets stand in files that the file names, and in no list of processes.",
    ],
    exit_status: EXIT_STATUS,
    files: &[("FILE", "See pinhole.toml(5). pinhole verify FILE says whether it is right.")],
    signals: &[INTERRUPT, RELOAD],
    is_run: true,
    has_settings: true,
};

const VERIFY: Words = Words {
    description: &[
        "The file is read as pinhole run reads it, with what it names: secrets, certificates, tokens. Nothing is \
         started, and no network is touched.",
        "What is wrong is said in a sentence with the file, the line and the column.",
    ],
    exit_status: &[
        ("0", "The file is right, and stdout says what it is."),
        ("1", "stdout took no more."),
        ("2", "The file is wrong or cannot be read, or the usage is wrong."),
    ],
    files: &[("FILE", "See pinhole.toml(5).")],
    signals: &[],
    is_run: true,
    has_settings: true,
};

const DEMO: Words = Words {
    description: &["A client fetches a file of the web service through the tunnel, and every \
                    byte is compared. Nothing leaves this machine."],
    exit_status: &[
        ("0", "Every byte arrived."),
        ("1", "One did not, and it is said why."),
        ("2", "Wrong usage: nothing was run."),
    ],
    files: &[],
    signals: &[],
    is_run: true,
    has_settings: false,
};

/// pinhole.toml(5).
pub(super) const FILE: FileWords = FileWords {
    sections: &[
        (
            "DESCRIPTION",
            &[
                "pinhole run FILE does what FILE says. It is TOML, and has one of the tables [host], [client] and \
                 [server]: one file is for one process. Its keys are the long options of these commands without their \
                 hyphens. What has no long option is called services, url, locals, dial (-L), reverse (-R), proxy (-D) \
                 and pipe (-W).",
                "A flag is true or false. A value is a text or a whole number, written as on the command line. What can \
                 be given several times is a list; one value may stand without brackets. A byte-order mark, tabs and \
                 line ends of either kind do no harm. The file has at most 256 KiB.",
                "Relative paths count from the folder of the file.",
                "pinhole verify FILE says whether a file is right. pinhole host, client and server write the file for a \
                 command line that works with --print-config.",
            ],
        ),
        (
            "INVITATIONS",
            &[
                "Beside [host] there may be tables [[invitation]], each a pin of its own for some clients. Its keys are \
                 label (what you call it), services (names of those in [host]), allow and reverse (as --allow and \
                 --allow-reverse), expires (30s, 15m, 2h, 7d, or a date with a time and an offset), max-sessions (how \
                 many clients at a time), once (true: for one client), id and pin or pin-file. What it does not name, \
                 its clients do not have.",
                "The host prints the command for each. SIGHUP revokes one that is gone from the file: its sessions end \
                 within a second.",
            ],
        ),
        (
            "WHAT COUNTS MORE",
            &["What the command line of pinhole run has behind FILE counts more than the environment, that more than \
                 the file, and the file more than the defaults. pinhole-run(1) lists the variables. Each counts for a \
                 whole key: a list replaces a list, and an option replaces what it excludes. A flag that the file sets \
                 cannot be unset."],
        ),
        (
            "SECRETS",
            &[
                "pin-file, token-file, public-auth-file and proxy-auth-file name files with the secret in their first \
                 line. A name without a slash is looked for in $CREDENTIALS_DIRECTORY first, where systemd has the \
                 credentials of a unit, then beside the file of settings.",
                "pin, token, public-auth and proxy-auth stand in the file itself, and so may a pin in url. pinhole warns \
                 if others than its owner can read the file then.",
            ],
        ),
    ],
    files: &[
        ("/etc/pinhole/NAME.toml", "What the unit pinhole@NAME runs. pinhole-install(1) writes it."),
        ("~/.config/pinhole/NAME.toml", "What a unit of a user runs, likewise."),
        ("/etc/config/pinhole", "On OpenWrt, sections with the same keys, but with _ in place of -."),
    ],
    examples: &[
        (
            "A host that a server gives a lasting name:",
            "[host]\nservices = [\"web=8080\", 22, \"dns=udp:53\"]\nserver = \"wss://p.example.org\"\nid = \"nas\"\n\
             token-file = \"nas.token\"\npin-file = \"nas.pin\"\nretry = true",
        ),
        (
            "A client of it:",
            "[client]\nurl = \"wss://p.example.org/ws/nas\"\npin-file = \"nas.pin\"\n\
             locals = [\"web=8080\", \"22=2222\"]\nretry = true",
        ),
        (
            "The server:",
            "[server]\nlisten = \":443\"\ntokens = \"tokens.toml\"\ntls-cert = \"fullchain.pem\"\n\
             tls-key = \"privkey.pem\"",
        ),
    ],
};
