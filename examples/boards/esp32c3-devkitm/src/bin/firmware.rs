//! The firmware.
#![no_std]
#![no_main]

#[esp_rtos::main]
async fn main(_spawner: embassy_executor::Spawner) {
    esp32c3_devkitm::run().await
}
