//! The purpose of the gateway: a page under development, in a browser far away, that changes with its source. Vite from
//! the npm registry serves it and announces changes over a WebSocket; headless Chromium shows it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use serde_json::Value;

use super::http::{ok, service};
use super::rig::Server;
use crate::common::chromium;
use crate::common::system::{figure, program, skipped};
use crate::common::{DEADLINE, wait_until};

const TEST: &str = "hot reload of Vite in Chromium through the gateway";

/// The last that runs with the Node.js that Debian has.
const VITE: &str = "vite@6";

/// How long npm may take; the registry may be out of reach.
const INSTALL: Duration = Duration::from_secs(60);

/// Serves the folder on the next free port from Vite's own on, and says which that is, and when a browser's WebSocket
/// is there.
const SERVE: &str = r#"
import { createServer } from 'vite';
const server = await createServer({
  configFile: false,
  root: import.meta.dirname ?? process.cwd(),
  clearScreen: false,
  optimizeDeps: { noDiscovery: true },
  server: { host: '127.0.0.1', allowedHosts: ['.p.test'] },
});
server.ws.on('connection', () => console.log(JSON.stringify('connected')));
await server.listen();
console.log(JSON.stringify(server.httpServer.address().port));
"#;

const PAGE: &str = "<!doctype html><p id=\"text\">nothing</p><script type=\"module\" src=\"/main.js\"></script>\n";

/// Reports what the page shows, each time that changes, and which load of the page it is.
const MAIN: &str = r#"
import { text } from './text.js';
const load = String(Math.random());
const place = document.querySelector('#text');
const show = (text) => {
  place.textContent = text;
  const body = JSON.stringify({ load, shown: place.innerText, origin: location.origin });
  fetch('REPORTS', { method: 'POST', mode: 'no-cors', body });
};
import.meta.hot.accept('./text.js', (module) => show(module.text));
show(text);
"#;

/// A process that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder in which Vite is installed: once, and for every run of the tests.
fn install(npm: &Path) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vite");
    if folder.join("node_modules/.package-lock.json").is_file() {
        return Some(folder);
    }
    fs::create_dir_all(&folder).unwrap();
    let log = folder.join("npm.log");
    let mut command = Command::new(npm);
    command.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(VITE);
    let output = fs::File::create(&log).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let start = Instant::now();
    let mut process = Program(command.spawn().unwrap());
    while start.elapsed() < INSTALL {
        if let Some(status) = process.0.try_wait().unwrap() {
            if status.success() {
                figure(&format!("npm install {VITE}: {:?}", start.elapsed()));
                return Some(folder);
            }
            break;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    skipped(TEST, &format!("npm could not install {VITE} within {INSTALL:?}: {}", said.trim()));
    None
}

/// A dev server of a page.
struct Vite {
    folder: PathBuf,
    process: Program,
    address: SocketAddr,
    lines: Receiver<Value>,
}

impl Vite {
    #[track_caller]
    fn start(node: &Path, installed: &Path, reports: &str) -> Vite {
        let folder = installed.join(format!("page-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let main = MAIN.replace("REPORTS", reports);
        for (name, content) in [("serve.mjs", SERVE), ("index.html", PAGE), ("main.js", &main)] {
            fs::write(folder.join(name), content).unwrap();
        }
        write_text(&folder, "before");
        let mut command = Command::new(node);
        command.arg("serve.mjs").current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Program(command.spawn().unwrap());
        let (sender, lines) = unbounded();
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        thread::spawn(move || {
            let values = stdout.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            // A test that failed meanwhile listens no more.
            values.for_each(|value: Value| drop(sender.send(value)));
        });
        let port = lines.recv_timeout(DEADLINE).unwrap().as_u64().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.try_into().unwrap()));
        Vite { folder, process, address, lines }
    }

    fn edit(&self, text: &str) {
        write_text(&self.folder, text);
    }
}

impl Drop for Vite {
    fn drop(&mut self) {
        let _ = self.process.0.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn write_text(folder: &Path, text: &str) {
    fs::write(folder.join("text.js"), format!("export const text = '{text}';\n")).unwrap();
}

#[test]
fn a_page_changes_as_its_source_does() {
    let Some(chromium) = chromium::find(TEST) else { return };
    let (Some(npm), Some(node)) = (program("npm", TEST), program("node", TEST)) else { return };
    let Some(installed) = install(&npm) else { return };
    let mut server = Server::start();
    let (sender, reports) = unbounded();
    let reporting = service(move |_, body| {
        let _ = sender.send(serde_json::from_slice::<Value>(body).unwrap());
        ok("")
    });
    let vite = Vite::start(&node, &installed, &format!("http://{}/", server.authority("reports")));
    let _hosts = [server.publish("reports", reporting), server.publish("myhost", vite.address)];

    let origin = format!("http://{}", server.authority("myhost"));
    let rules = "--host-resolver-rules=MAP *.p.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1";
    let start = Instant::now();
    let mut browser = chromium::open(&chromium, &format!("{origin}/?secret"), &[rules]);
    let mut report = || {
        let mut report = None;
        wait_until("a report of the page", || {
            browser.expect_running();
            report = reports.try_recv().ok();
            report.is_some()
        });
        report.unwrap()
    };
    let first = report();
    assert_eq!((&first["shown"], &first["origin"]), (&"before".into(), &origin.as_str().into()));
    assert_eq!(vite.lines.recv_timeout(DEADLINE).unwrap(), "connected");
    let loaded = start.elapsed();
    let start = Instant::now();
    vite.edit("after");
    let second = report();
    assert_eq!((&second["shown"], &second["load"]), (&"after".into(), &first["load"]), "{second}");
    figure(&format!("Chromium has the page of Vite after {loaded:?}, an edit is there after {:?}", start.elapsed()));
    drop(browser);

    // The WebSocket went through the gateway, and the page was loaded once.
    let hot = server.process.find("the WebSocket in the log", |event| event["status"] == 101);
    assert_eq!((&hot["host"], &hot["path"]), (&"myhost.p.test".into(), &"/".into()), "{hot}");
    let ended = server.process.stop();
    let loads = ended.stdout.lines().filter(|line| line.contains(r#""path":"/","status":200"#));
    assert_eq!(loads.filter(|line| line.contains("myhost")).count(), 1, "{}", ended.stdout);
    assert!(!ended.stdout.contains("secret"), "{}", ended.stdout);
}
