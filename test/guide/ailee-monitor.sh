# Instead of the daily monitoring.
./ailee-monitor
