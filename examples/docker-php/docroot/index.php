<?php
echo "Hello from PHP ", phpversion(), " on ", php_uname(), "\n\n";

echo "Names in the environment:\n";
foreach (array_keys(getenv()) as $name) {
    echo "  $name\n";
}

$name = $_GET['name'] ?? 'nobody';
echo "\nGood day, ", htmlspecialchars($name), ". Today is ", date('Y-m-d'), ".\n";

echo "\nIn /:\n";
foreach (array_diff(scandir('/'), ['.', '..']) as $entry) {
    echo "  $entry\n";
}
