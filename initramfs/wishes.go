package initramfs

// unasked are modules that every restore needs and no device asks for: loop
// devices lend a part to e2fsck, and cards are named by no modalias file.
func unasked() []string { return []string{"loop", "mmc_block"} }

// WishList are the modules that a rescue image should have, where the kernel
// has them as modules: a name that is built in or absent is no fault. Held
// against emulated boards; what they depend on comes along by itself.
func WishList() []string {
	return []string{
		// virtual machines
		"virtio_blk", "virtio_net", "virtio_mmio", "virtio_scsi", "virtio_pci", "virtio_rng",
		// cards and their power; mmc_block is named by no modalias file
		"mmc_block", "sdhci_iproc", "sdhci_brcmstb", "bcm2835", "bcm2835_sdhost", "bcm2835_mmc", "sdhci_pci", "sdhci_omap", "omap_hsmmc",
		"sunxi_mmc", "dw_mmc_rockchip", "dw_mmc_exynos", "meson_gx_mmc", "sdhci_of_arasan", "sdhci_of_dwcmshc",
		"reset_raspberrypi", "raspberrypi_cpufreq", "fixed", "gpio_regulator", "clk_raspberrypi", "gpio_raspberrypi_exp", "leds_gpio",
		"axp20x", "axp20x_i2c", "axp20x_regulator", "axp20x_rsb", "sunxi_rsb", "sy8106a_regulator", "nvmem_sunxi_sid", "i2c_mv64xxx", "i2c_bcm2835",
		"rk808", "rk8xx_core", "rk8xx_i2c", "rk808_regulator", "fan53555", "i2c_rk3x", "pwm_meson", "pwm_regulator", "s2mps11",
		// USB
		"dwc2", "dwc3", "xhci_pci", "xhci_plat_hcd", "ehci_pci", "ehci_platform", "ohci_platform", "ohci_pci", "phy_generic",
		"phy_sun4i_usb", "musb_hdrc", "phy_rockchip_inno_usb2", "phy_rockchip_usb", "dwc3_of_simple", "dwc3_meson_g12a", "phy_meson_gxl_usb2", "phy_meson_g12a_usb2", "phy_meson_g12a_usb3_pcie", "phy_meson8b_usb2",
		"usb_storage", "uas", "sd_mod", "hid_generic", "usbhid",
		// other disks
		"nvme", "pcie_brcmstb", "pcie_rockchip_host", "rp1_pci", "rp1", "ahci", "ahci_platform", "ahci_sunxi", "libahci",
		// network
		"lan78xx", "smsc95xx", "genet", "r8152", "asix", "ax88179_178a", "cdc_ether", "cdc_ncm", "rndis_host", "macb", "e1000", "e1000e", "r8169", "igb",
		"broadcom", "bcm7xxx", "mdio_bcm_unimac", "microchip", "smsc", "realtek", "motorcomm",
		"dwmac_sun8i", "dwmac_sunxi", "dwmac_rk", "dwmac_meson8b", "sun4i_emac", "sun8i_emac", "sunxi", "sun4i_mdio", "mdio_sun4i", "mdio_mux", "mdio_mux_meson_g12a", "ti_cpsw",
		// file systems, and what lies below them
		"ext4", "vfat", "nls_ascii", "nls_cp437", "nls_iso8859_1", "nls_utf8", "f2fs", "btrfs", "exfat", "fuse", "loop", "dm_mod", "isofs",
		"crc32c_generic", "crc32_generic", "crc32c_arm", "crc32c_arm64",
		// watchdogs, randomness, heat
		"bcm2835_wdt", "sunxi_wdt", "dw_wdt", "meson_gxbb_wdt", "s3c2410_wdt", "omap_wdt",
		"bcm2835_rng", "iproc_rng200", "bcm2711_thermal", "bcm2835_thermal",
	}
}
