//! The radio, as a station of the wireless network in the settings.

use embassy_time::{Duration, Timer};
use esp_hal::peripherals::WIFI;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{AuthenticationMethodConfig, Config, ControllerConfig, WifiController};
use ota_firmware::settings::Settings;

/// Between two attempts to join the network.
const RETRY: Duration = Duration::from_secs(5);

/// Starts the radio, whose memory is the heap.
///
/// # Errors
/// What is wrong with the settings or with the radio.
pub fn start(radio: WIFI<'static>, settings: &Settings<'_>) -> Result<WifiController<'static>, &'static str> {
    if settings.ssid.is_empty() {
        return Err("no wireless network in the settings");
    }
    let authentication = match settings.passphrase {
        "" => AuthenticationMethodConfig::Open,
        passphrase => {
            AuthenticationMethodConfig::Wpa2Personal(passphrase.try_into().map_err(|_| "the passphrase is too long")?)
        }
    };
    let station = StationConfig::default()
        .with_ssid(settings.ssid.try_into().map_err(|_| "the name of the wireless network is too long")?)
        .with_authentication(authentication);
    let config = ControllerConfig::default().with_initial_config(Config::Station(station));
    WifiController::new(radio, config).map_err(|_| "the radio cannot be started with these settings")
}

/// Joins the network, and joins it again whenever it is lost; never returns.
///
/// # Cancel safety
/// Dropping the future stops the radio.
pub async fn stay_connected(mut radio: WifiController<'static>) {
    loop {
        match radio.connect_async().await {
            Ok(joined) => {
                log::info!("joined {:?}, channel {}", joined.ssid, joined.channel);
                // An error is that it is lost already.
                let lost = radio.wait_for_disconnect_async().await;
                log::info!("lost the wireless network: {lost:?}");
            }
            Err(why) => log::info!("cannot join the wireless network: {why:?}"),
        }
        Timer::after(RETRY).await;
    }
}
