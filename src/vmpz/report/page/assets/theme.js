try { const theme = localStorage.getItem("vmpz-theme"); if (theme) document.documentElement.dataset.theme = theme; } catch { /* refused */ }
