//! The registers of the board, by their names in the manuals. Sources: Microchip, "UG0331: SmartFusion2 Microcontroller Subsystem";
//! Arm, "Cortex-M3 Devices Generic User Guide" (MPU, NVIC).

/// A register of 32 bits.
pub struct Register(u32);

impl Register {
    const fn at(address: u32) -> Self {
        Self(address)
    }

    /// Reads the register.
    pub fn read(&self) -> u32 {
        // SAFETY: only this file makes registers, each at an address where the board has a device and no memory.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    /// Writes the register.
    pub fn write(&self, value: u32) {
        // SAFETY: as above. One device accesses memory by itself, the Ethernet controller: its driver names only descriptors that
        // live forever.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}

macro_rules! registers {
    ($(#[$meta:meta])* $device:ident: $($(#[$about:meta])* $name:ident = $address:literal,)*) => {
        $(#[$meta])*
        pub mod $device {
            use super::Register;
            $($(#[$about])* pub const $name: Register = Register::at($address);)*
        }
    };
}

registers! {
    /// UART 0, an MMUART.
    uart:
    THR = 0x4000_0000,
    LSR = 0x4000_0014,
}

registers! {
    /// SPI 0.
    spi:
    CONTROL = 0x4000_1000,
    DFSIZE = 0x4000_1004,
    STATUS = 0x4000_1008,
    RX_DATA = 0x4000_1010,
    TX_DATA = 0x4000_1014,
    SLAVE_SELECT = 0x4000_101C,
}

registers! {
    /// Timer 1 runs freely, timer 2 is the alarm. Both count down.
    timer:
    FREE_VAL = 0x4000_4000,
    FREE_LOADVAL = 0x4000_4004,
    FREE_CTRL = 0x4000_400C,
    ALARM_LOADVAL = 0x4000_401C,
    ALARM_CTRL = 0x4000_4024,
    ALARM_RIS = 0x4000_4028,
}

registers! {
    /// The Ethernet controller, which reads and writes memory.
    emac:
    CFG1 = 0x4004_1000,
    STATION_ADDRESS1 = 0x4004_1040,
    STATION_ADDRESS2 = 0x4004_1044,
    DMA_TX_CTRL = 0x4004_1180,
    DMA_TX_DESC = 0x4004_1184,
    DMA_RX_CTRL = 0x4004_118C,
    DMA_RX_DESC = 0x4004_1190,
    DMA_RX_STATUS = 0x4004_1194,
    DMA_IRQ_MASK = 0x4004_1198,
}

registers! {
    /// The memory protection unit.
    mpu:
    CTRL = 0xE000_ED94,
    RNR = 0xE000_ED98,
    RBAR = 0xE000_ED9C,
    RASR = 0xE000_EDA0,
}

registers! {
    /// The interrupt controller.
    nvic:
    ISER0 = 0xE000_E100,
}
