# The node is stopped later.
sudo systemctl stop ailee-node
