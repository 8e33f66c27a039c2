use super::*;
use crate::cli::command::{Command, Surroundings};
use crate::cli::failure::Failure;
use crate::cli::line::parse;

fn planned(line: &[&str], surroundings: Surroundings<'_>) -> Result<Plan, Failure> {
    let parsed = parse([&["pinhole", "install"], line].concat(), surroundings)?;
    match parsed.command {
        Command::Install(plan) => Ok(*plan),
        other => panic!("{other:?}"),
    }
}

fn plan(line: &str) -> Plan {
    let surroundings = Surroundings { folder: Some("/srv".into()), ..Surroundings::default() };
    planned(&line.split(' ').collect::<Vec<_>>(), surroundings).unwrap()
}

fn refused(line: &str) -> String {
    let surroundings = Surroundings { folder: Some("/srv".into()), ..Surroundings::default() };
    planned(&line.split(' ').collect::<Vec<_>>(), surroundings).unwrap_err().to_string()
}

/// What is written where.
fn files(plan: &Plan) -> Vec<(String, &str)> {
    plan.files.iter().map(|file| (file.path.display().to_string(), file.text.as_str())).collect()
}

fn settings(plan: &Plan) -> &str {
    plan.files[0].text.split_once('\n').unwrap().1
}

const HOST: &str = "host web=8080 --server wss://p.example.org --id nas";

#[test]
fn a_host_of_the_system_has_its_secrets_handed_over() {
    let plan = plan(&format!("nas {HOST} --pin 4711 --token sesame"));
    assert_eq!(
        settings(&plan),
        "[host]\nservices = [\"web=8080\"]\nserver = [\"wss://p.example.org\"]\nid = \"nas\"\n\
         pin-file = \"nas.pin\"\ntoken-file = \"nas.token\"\n"
    );
    assert_eq!(
        files(&plan)[1..],
        [("/etc/pinhole/nas.pin".to_owned(), "4711\n"), ("/etc/pinhole/nas.token".to_owned(), "sesame\n")]
    );
    let readers: Vec<Readers> = plan.files.iter().map(|file| file.readers).collect();
    assert_eq!(readers, [Readers::All, Readers::Owner, Readers::Owner]);
    assert_eq!(
        plan.unit,
        ["LoadCredential=nas.pin:/etc/pinhole/nas.pin", "LoadCredential=nas.token:/etc/pinhole/nas.token"]
    );
    assert_eq!(plan.chosen_pin, None);
    assert!(!format!("{plan:?}").contains("4711") && !format!("{plan:?}").contains("sesame"));
}

#[test]
fn a_host_without_a_pin_is_given_a_longer_one() {
    let plan = plan(&format!("nas {HOST}"));
    let pin = plan.chosen_pin.clone().unwrap();
    assert!(pin.len() == 12 && pin.chars().all(|c| c.is_ascii_digit()), "{pin}");
    assert_eq!(files(&plan)[1].1, format!("{pin}\n"));
    assert_ne!(plan.chosen_pin, self::plan(&format!("nas {HOST}")).chosen_pin);
}

#[test]
fn the_pin_of_a_url_leaves_it() {
    let plan = plan("office client wss://p.example.org/ws/nas?pin=4711 8080");
    assert_eq!(
        settings(&plan),
        "[client]\nurl = \"wss://p.example.org/ws/nas\"\nlocals = [8080]\npin-file = \"office.pin\"\n"
    );
    assert_eq!(files(&plan)[1], ("/etc/pinhole/office.pin".to_owned(), "4711\n"));
}

#[test]
fn secrets_of_the_environment_come_along_where_they_mean_something() {
    let surroundings = || Surroundings {
        pin: Some("4711".into()),
        token: Some("sesame".into()),
        public_auth: Some("me:secret".into()),
        proxy_auth: Some("me:secret".into()),
        ..Surroundings::default()
    };
    let line: Vec<&str> = HOST.split(' ').collect();
    let plan = planned(&[&["nas"], &line[..]].concat(), surroundings()).unwrap();
    let names: Vec<String> = files(&plan).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["/etc/pinhole/nas.toml", "/etc/pinhole/nas.pin", "/etc/pinhole/nas.token"]);
    assert_eq!(files(&plan)[1].1, "4711\n");
    let line = ["office", "client", "wss://p.example.org/ws/nas", "-D", "1080"];
    let plan = planned(&line, surroundings()).unwrap();
    assert_eq!(files(&plan)[2], ("/etc/pinhole/office.proxy-auth".to_owned(), "me:secret\n"));
}

#[test]
fn what_is_lost_is_what_is_read_back_otherwise() {
    let file = std::env::temp_dir().join(format!("pinhole-plan-{:016x}", rand::random::<u64>()));
    let secret = Secret { flag: "--pin-file", name: "the pin" };
    let (longest, longer) = ("x".repeat(MAX_SECRET), "x".repeat(MAX_SECRET + 1));
    let cases = ["", "4711", "12\n34", "\n12", "12\n", "12\r", "12\r\n", "\r", "1\r2", " é\t", "\0", &longest, &longer];
    for text in cases {
        fs::write(&file, format!("{text}\n")).unwrap();
        let is_read = secret_file::read(secret, &file).is_ok_and(|(read, _)| read == text);
        assert_eq!(lost(text).is_none(), is_read, "{text:?}");
    }
    fs::remove_file(&file).unwrap();
}

#[test]
fn a_unit_of_a_user_reads_its_own_files() {
    let own = std::env::temp_dir().join(format!("pinhole-plan-{:016x}", rand::random::<u64>()));
    fs::write(&own, "4711\n").unwrap();
    let text = own.to_str().unwrap();
    let user = plan(&format!("--user nas {HOST} --pin-file {text}"));
    assert!(settings(&user).contains(&format!("pin-file = \"{text}\"\n")), "{}", settings(&user));
    assert_eq!((user.files.len(), user.unit.len()), (1, 0));
    assert_eq!(user.files[0].readers, Readers::Owner);
    // One of the system does not see it there.
    let system = plan(&format!("nas {HOST} --pin-file {text}"));
    assert_eq!(files(&system)[1], ("/etc/pinhole/nas.pin".to_owned(), "4711\n"));
    assert!(settings(&system).ends_with("pin-file = \"nas.pin\"\n"));
    fs::remove_file(&own).unwrap();
}

#[test]
fn files_that_the_unit_cannot_read_are_handed_over() {
    let folder = std::env::temp_dir().join(format!("pinhole-plan-{:016x}", rand::random::<u64>()));
    fs::create_dir(&folder).unwrap();
    let (open, closed) = (Path::new("/etc/passwd"), folder.join("key.pem"));
    fs::write(&closed, "").unwrap();
    let line = format!("meet server --open --tls-cert {} --tls-key {}", open.display(), closed.display());
    let plan = plan(&line);
    assert!(settings(&plan).contains("tls-cert = \"/etc/passwd\"\n"), "{}", settings(&plan));
    assert!(settings(&plan).ends_with("tls-key = \"meet.tls-key\"\n"), "{}", settings(&plan));
    assert_eq!(plan.unit, [format!("LoadCredential=meet.tls-key:{}", closed.display())]);
    assert!(plan.remarks[0].contains("systemctl restart pinhole@meet"), "{:?}", plan.remarks);
    // A name that systemd would take apart.
    let odd = folder.join("a b%i.pem");
    fs::write(&odd, "").unwrap();
    let line = ["meet", "server", "--open", "--tls-cert", "/etc/passwd", "--tls-key", odd.to_str().unwrap()];
    let refused = planned(&line, Surroundings::default()).unwrap_err().to_string();
    assert!(refused.contains("copy it to a plain one"), "{refused}");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_a_unit_cannot_do_is_refused() {
    let cases = [
        (format!("nas {HOST} --ask"), "a unit has none"),
        ("nas client wss://p.example.org/ws?pin=1 -W web".to_owned(), "a unit has none"),
        (format!("nas {HOST} --print-config"), "--print-config"),
        ("nas host unix:/home/me/app.sock".to_owned(), "sees nothing below /home"),
        ("nas host unix:app.sock --listen 1 --allow unix:/tmp/a.sock".to_owned(), "sees nothing below /tmp"),
        ("nas client wss://p.example.org/ws?pin=1 unix:/srv/db.sock".to_owned(), "below /run/pinhole/nas only"),
        ("nas client wss://p.example.org/ws?pin=1 -L unix:/srv/a:b:1".to_owned(), "below /run/pinhole/nas only"),
        ("nas client wss://p.example.org/ws?pin=1 -R 80:unix:/root/a".to_owned(), "sees nothing below /root"),
        ("nas server".to_owned(), "--tokens"),
        ("nas client wss://p.example.org/ws".to_owned(), "pin"),
        ("nas demo".to_owned(), "possible values: host, client, server"),
        ("../nas host 1".to_owned(), "the name of a unit"),
    ];
    for (line, words) in cases {
        let refused = refused(&line);
        assert!(refused.contains(words), "{line}: {refused}");
    }
    plan("--user nas client wss://p.example.org/ws?pin=1 unix:/srv/db.sock");
    plan("nas client wss://p.example.org/ws?pin=1 unix:/run/pinhole/nas/db.sock -L 80:unix:/home/a -R unix:/tmp/a:b:1");
}

#[test]
fn a_host_that_moves_is_remarked() {
    assert!(plan("nas host 8080").remarks[0].contains("--listen 5000"));
    assert_eq!(plan("nas host 8080 --listen 5000").remarks, [] as [String; 0]);
    assert_eq!(plan(&format!("nas {HOST}")).remarks, [] as [String; 0]);
    let secret = plan(&format!("nas {HOST} --header X-Key:1")).remarks;
    assert!(secret[0].contains("--header"), "{secret:?}");
}
