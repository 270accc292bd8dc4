//! The registers of the board, by their names in the manuals. Sources: Arm, "Application Note AN385", "Cortex-M System Design
//! Kit" (timer, watchdog, UART) and "Cortex-M3 Devices Generic User Guide" (MPU, NVIC); SMSC, "LAN9118".

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
        // SAFETY: as above, and no device of this board accesses memory by itself.
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
    /// UART 0.
    uart:
    DATA = 0x4000_4000,
    STATE = 0x4000_4004,
    CTRL = 0x4000_4008,
    BAUDDIV = 0x4000_4010,
}

registers! {
    /// Timer 0 runs freely, timer 1 is the alarm. Both count down at 25 MHz.
    timer:
    FREE_CTRL = 0x4000_0000,
    FREE_VALUE = 0x4000_0004,
    FREE_RELOAD = 0x4000_0008,
    ALARM_CTRL = 0x4000_1000,
    ALARM_VALUE = 0x4000_1004,
    ALARM_RELOAD = 0x4000_1008,
    ALARM_INTCLEAR = 0x4000_100C,
}

registers! {
    /// The watchdog: an interrupt that cannot be masked after one period, a reset after the second one.
    watchdog:
    LOAD = 0x4000_8000,
    CONTROL = 0x4000_8008,
    INTCLR = 0x4000_800C,
    LOCK = 0x4000_8C00,
}

registers! {
    /// The Ethernet controller LAN9118.
    lan9118:
    RX_DATA = 0x4020_0000,
    TX_DATA = 0x4020_0020,
    RX_STATUS = 0x4020_0040,
    TX_STATUS = 0x4020_0048,
    IRQ_CFG = 0x4020_0054,
    INT_STS = 0x4020_0058,
    INT_EN = 0x4020_005C,
    FIFO_INT = 0x4020_0068,
    TX_CFG = 0x4020_0070,
    HW_CFG = 0x4020_0074,
    RX_FIFO_INF = 0x4020_007C,
    TX_FIFO_INF = 0x4020_0080,
    MAC_CSR_CMD = 0x4020_00A4,
    MAC_CSR_DATA = 0x4020_00A8,
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
