//! stub
use super::refusal::Refusal;
pub struct Metrics;
impl Metrics {
    pub fn new(_t: std::time::SystemTime) -> Metrics {
        Metrics
    }
    pub fn refused(&mut self, _r: Refusal) {}
    pub fn relayed_to_host(&mut self, _n: u64) {}
    pub fn relayed_to_client(&mut self, _n: u64) {}
    pub fn conversation(&mut self) {}
    pub fn set_hosts(&mut self, _n: usize) {}
    pub fn set_clients(&mut self, _n: usize) {}
    pub fn set_connections(&mut self, _n: usize) {}
    pub fn replaced(&mut self) {}
    pub fn render(&self) -> String {
        String::new()
    }
    pub fn answered(&mut self, _d: std::time::Duration) {}
    pub fn request(&mut self, _s: u16, _a: u64, _b: u64) {}
    pub fn dialled(&mut self) {}
}
