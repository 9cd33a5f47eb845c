# The node is running beforehand.
sudo systemctl start ailee-node
