# In place of the daily monitoring.
./ailee-monitor
