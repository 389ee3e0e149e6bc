<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de"><context><name>geopointseg</name>
<message><source>'{step}' failed. Check the network and QGIS's proxy, then try again.</source>
<translation>„{step}“ ist fehlgeschlagen. Prüfen Sie das Netzwerk und den Proxy in QGIS und versuchen Sie es erneut.</translation></message>
<message><source>Allow points that trained the model</source>
<translation>Auch Punkte zulassen, mit denen das Modell gelernt hat</translation></message>
<message><source>Also write a report that opens in any browser.</source>
<translation>Schreibt auch einen Bericht, den jeder Browser öffnet.</translation></message>
<message><source>Also write a report.</source>
<translation>Schreibt auch einen Bericht.</translation></message>
<message><source>Also write class probabilities.</source>
<translation>Schreibt auch die Wahrscheinlichkeiten der Klassen.</translation></message>
<message><source>Also write confidence, entropy and margin.</source>
<translation>Schreibt auch Konfidenz, Entropie und Abstand der besten Klassen.</translation></message>
<message><source>Also write how unlike the training points each place is, and beside it, as A_mask.tif, where that is too unlike for the model to be trusted.</source>
<translation>Schreibt auch, wie unähnlich jeder Ort den Trainingspunkten ist, und daneben als A_mask.tif, wo er zu unähnlich ist, um dem Modell zu trauen.</translation></message>
<message><source>Area of interest; outside it the map is nodata.</source>
<translation>Interessengebiet; außerhalb davon ist die Karte ohne Daten.</translation></message>
<message><source>Assess even on points that the model was trained on; the report says so.</source>
<translation>Bewertet auch mit Punkten, mit denen das Modell gelernt hat; der Bericht sagt es.</translation></message>
<message><source>Assess map</source>
<translation>Karte bewerten</translation></message>
<message><source>Average over flips, over flips and rotations, or over three scales.</source>
<translation>Mittelt über Spiegelungen, über Spiegelungen und Drehungen oder über drei Maßstäbe.</translation></message>
<message><source>Average over turned copies</source>
<translation>Über gedrehte Kopien mitteln</translation></message>
<message><source>Bands to use</source>
<translation>Zu verwendende Kanäle</translation></message>
<message><source>Bands to use: numbers from 1 or names, separated by commas; all by default.</source>
<translation>Zu verwendende Kanäle: Nummern ab 1 oder Namen, durch Kommas getrennt; sonst alle.</translation></message>
<message><source>Blending of windows</source>
<translation>Überblendung der Fenster</translation></message>
<message><source>Buffer around test points (m)</source>
<translation>Puffer um Testpunkte (m)</translation></message>
<message><source>Cancelled. No output was written.</source>
<translation>Abgebrochen. Es wurde kein Ergebnis geschrieben.</translation></message>
<message><source>Cancelled. The unfinished environment was removed.</source>
<translation>Abgebrochen. Die unfertige Umgebung wurde entfernt.</translation></message>
<message><source>Cancelling: waiting for the current step to end.</source>
<translation>Abbruch: Der laufende Schritt wird noch beendet.</translation></message>
<message><source>Categorize the layer by its class field to list classes.</source>
<translation>Kategorisieren Sie den Layer nach seinem Klassenfeld, um Klassen aufzulisten.</translation></message>
<message><source>Check environment</source>
<translation>Umgebung prüfen</translation></message>
<message><source>Check points</source>
<translation>Punkte prüfen</translation></message>
<message><source>Choose a model folder to see what it knows.</source>
<translation>Wählen Sie einen Modellordner, um zu sehen, was er kennt.</translation></message>
<message><source>Class map</source>
<translation>Klassenkarte</translation></message>
<message><source>Class map that 'Predict map' has written, or any raster of class codes.</source>
<translation>Klassenkarte, die „Karte berechnen“ geschrieben hat, oder ein beliebiges Raster mit Klassencodes.</translation></message>
<message><source>Class map to write.</source>
<translation>Zu schreibende Klassenkarte.</translation></message>
<message><source>Class probabilities</source>
<translation>Wahrscheinlichkeiten der Klassen</translation></message>
<message><source>Classes: {names}</source>
<translation>Klassen: {names}</translation></message>
<message><source>Cloud-optimized GeoTIFF</source>
<translation>Cloud-optimiertes GeoTIFF</translation></message>
<message><source>Cloud-optimized layout with overviews.</source>
<translation>Cloud-optimierter Aufbau mit Übersichten.</translation></message>
<message><source>Compare a class map with test points: accuracy, confusion matrix, areas.

    With -o, a report for any browser is written; --raster, --model and the options after them add to it.
    </source>
<translation>Vergleicht eine Klassenkarte mit Testpunkten: Genauigkeit, Konfusionsmatrix, Flächen. Mit -o wird ein Bericht für jeden Browser geschrieben; --raster, --model und die Optionen danach ergänzen ihn.</translation></message>
<message><source>Create environment</source>
<translation>Umgebung anlegen</translation></message>
<message><source>Cross-validate the recipe on blocks of other ground, beside the majority class and the forests.</source>
<translation>Kreuzvalidiert das Verfahren auf anderen Geländeblöcken, neben häufigster Klasse und Wäldern (Random Forests).</translation></message>
<message><source>Dask scheduler</source>
<translation>Dask-Scheduler</translation></message>
<message><source>Dask scheduler, or local:N for N workers here.</source>
<translation>Adresse eines Dask-Schedulers oder local:N für N Arbeiter auf diesem Rechner.</translation></message>
<message><source>Done. Run 'Check environment' to see what it can do.</source>
<translation>Fertig. „Umgebung prüfen“ zeigt, was sie kann.</translation></message>
<message><source>Draw points from dense masks, as a person would click them.</source>
<translation>Zieht Punkte aus dichten Masken, so wie ein Mensch sie klicken würde.</translation></message>
<message><source>Drop training points this near to test points.</source>
<translation>Lässt Trainingspunkte weg, die so nah an Testpunkten liegen.</translation></message>
<message><source>Everything is there</source>
<translation>Alles ist vorhanden</translation></message>
<message><source>Everything is there: you can train a model and predict a map.</source>
<translation>Alles ist vorhanden: Sie können ein Modell trainieren und eine Karte berechnen.</translation></message>
<message><source>Extent to map</source>
<translation>Zu kartierende Ausdehnung</translation></message>
<message><source>Field with the class</source>
<translation>Feld mit der Klasse</translation></message>
<message><source>Field with the class, text or integer.</source>
<translation>Feld mit der Klasse, Text oder Ganzzahl.</translation></message>
<message><source>File that names data, factors, levels and seeds.</source>
<translation>Datei, die Daten, Faktoren, Stufen und Startwerte nennt.</translation></message>
<message><source>File to write.</source>
<translation>Zu schreibende Datei.</translation></message>
<message><source>Finish a prediction that was stopped.</source>
<translation>Beendet eine Berechnung, die angehalten wurde.</translation></message>
<message><source>Finish a stopped map</source>
<translation>Angehaltene Karte fertigstellen</translation></message>
<message><source>Fit only to pixels of shared ground that did not change.</source>
<translation>Passt nur an Pixel gemeinsamer Flächen an, die sich nicht verändert haben.</translation></message>
<message><source>Fit to ground that did not change</source>
<translation>An unveränderte Flächen anpassen</translation></message>
<message><source>Folder for the environment (empty: in your QGIS profile)</source>
<translation>Ordner für die Umgebung (leer: in Ihrem QGIS-Profil)</translation></message>
<message><source>Folder of tables, figures and the report.</source>
<translation>Ordner für Tabellen, Abbildungen und den Bericht.</translation></message>
<message><source>Folder of the model to write.</source>
<translation>Ordner des zu schreibenden Modells.</translation></message>
<message><source>Folder of the new environment, or of one made here before, which is then upgraded.</source>
<translation>Ordner der neuen Umgebung oder einer früher hier angelegten, die dann erneuert wird.</translation></message>
<message><source>Folder of the weights to write.</source>
<translation>Ordner der zu schreibenden Gewichte.</translation></message>
<message><source>Folder that 'Train model' has written, or the model.json in it; several models are averaged.</source>
<translation>Ordner, den „Modell trainieren“ geschrieben hat, oder die model.json darin; mehrere Modelle werden gemittelt.</translation></message>
<message><source>Give raster R the histogram of a reference, band by band.</source>
<translation>Gibt dem Raster R Kanal für Kanal das Histogramm einer Referenz.</translation></message>
<message><source>Go on with a pretraining that was stopped.</source>
<translation>Setzt ein Vortraining fort, das angehalten wurde.</translation></message>
<message><source>Go on with a stopped pretraining</source>
<translation>Angehaltenes Vortraining fortsetzen</translation></message>
<message><source>Go on with a stopped training</source>
<translation>Angehaltenes Training fortsetzen</translation></message>
<message><source>Go on with a training that was stopped.</source>
<translation>Setzt ein Training fort, das angehalten wurde.</translation></message>
<message><source>Go to the next suggested point</source>
<translation>Zum nächsten vorgeschlagenen Punkt</translation></message>
<message><source>Hold out blocks of ground, or whole scenes (other dates, other sensors), in turn.</source>
<translation>Hält reihum Blöcke der Fläche zurück oder ganze Szenen (andere Tage, andere Sensoren).</translation></message>
<message><source>How overlapping windows are combined.</source>
<translation>Wie überlappende Fenster verbunden werden.</translation></message>
<message><source>How the look is matched.</source>
<translation>Wie das Aussehen angeglichen wird.</translation></message>
<message><source>How the test points were drawn</source>
<translation>Wie die Testpunkte gezogen wurden</translation></message>
<message><source>How the test points were drawn; areas and intervals need a probability sample.</source>
<translation>Wie die Testpunkte gezogen wurden; Flächen und Intervalle brauchen eine Zufallsstichprobe.</translation></message>
<message><source>Inference engine</source>
<translation>Rechenkern</translation></message>
<message><source>Interpreter</source>
<translation>Interpreter</translation></message>
<message><source>Kind of model</source>
<translation>Art des Modells</translation></message>
<message><source>Layer '{name}' could not be written for geopointseg: {reason}.</source>
<translation>Der Layer „{name}“ konnte nicht für geopointseg geschrieben werden: {reason}.</translation></message>
<message><source>Layer '{name}' gives nothing: it is empty, or only selected features were asked for and none is selected. Add features or clear that option.</source>
<translation>Der Layer „{name}“ ergibt nichts: Er ist leer, oder es wurden nur gewählte Objekte verlangt und keines ist gewählt. Fügen Sie Objekte hinzu oder schalten Sie diese Option aus.</translation></message>
<message><source>Layer '{name}' has no CRS. Points need one to be placed on the raster. Assign it with 'Assign projection' and run again.</source>
<translation>Der Layer „{name}“ hat kein KBS. Punkte brauchen eines, um auf das Raster gelegt zu werden. Weisen Sie es mit „Projektion zuweisen“ zu und starten Sie erneut.</translation></message>
<message><source>Layer '{name}' has unsaved edits. The run uses the points as they are on the screen; save them before you close QGIS.</source>
<translation>Der Layer „{name}“ hat ungespeicherte Änderungen. Der Lauf verwendet die Punkte, wie sie auf dem Bildschirm sind; speichern Sie sie, bevor Sie QGIS schließen.</translation></message>
<message><source>Layer '{name}' is styled by '{styled}', its classes are in '{field}': the colours are not used. Categorize the layer by '{field}' to choose them.</source>
<translation>Der Layer „{name}“ ist nach „{styled}“ gestaltet, seine Klassen stehen in „{field}“: Die Farben werden nicht verwendet. Kategorisieren Sie den Layer nach „{field}“, um sie zu wählen.</translation></message>
<message><source>Learn from unlabelled rasters R; 'train --weights WEIGHTS_DIR' starts from there.</source>
<translation>Lernt aus Rastern R ohne Punkte; das Training mit diesen Startgewichten beginnt dort.</translation></message>
<message><source>Least distance (m)</source>
<translation>Mindestabstand (m)</translation></message>
<message><source>Makes a private Python environment, installs geopointseg into it and sets it as the interpreter of this toolbox. It takes some gigabytes and some minutes. Nothing is installed into QGIS's own Python. The proxy of QGIS's network settings is used.</source>
<translation>Legt eine eigene Python-Umgebung an, installiert geopointseg darin und stellt sie als Interpreter dieser Werkzeugkiste ein. Das braucht einige Gigabyte und einige Minuten. In das Python von QGIS wird nichts installiert. Der Proxy aus den Netzwerkeinstellungen von QGIS wird verwendet.</translation></message>
<message><source>Making an environment with {path}.</source>
<translation>Eine Umgebung wird angelegt mit {path}.</translation></message>
<message><source>Map</source>
<translation>Karte</translation></message>
<message><source>Mapped pixels</source>
<translation>Kartierte Pixel</translation></message>
<message><source>Match histogram</source>
<translation>Histogramm angleichen</translation></message>
<message><source>Matched raster</source>
<translation>Angeglichenes Raster</translation></message>
<message><source>Mean F1</source>
<translation>Mittleres F1</translation></message>
<message><source>Mean F1 of the forest on held-out points</source>
<translation>Mittleres F1 des Random Forest auf zurückgehaltenen Punkten</translation></message>
<message><source>Mean F1 of the network on held-out points</source>
<translation>Mittleres F1 des Netzes auf zurückgehaltenen Punkten</translation></message>
<message><source>Mean IoU</source>
<translation>Mittlere IoU</translation></message>
<message><source>Merge patches smaller than this into their surroundings.</source>
<translation>Kleinere Flecken als diese gehen in ihrer Umgebung auf.</translation></message>
<message><source>Method</source>
<translation>Verfahren</translation></message>
<message><source>Mix the bands, for images of different cameras</source>
<translation>Kanäle mischen, für Bilder verschiedener Kameras</translation></message>
<message><source>Model</source>
<translation>Modell</translation></message>
<message><source>Model folder</source>
<translation>Modellordner</translation></message>
<message><source>Model to show in the report</source>
<translation>Modell, das der Bericht zeigt</translation></message>
<message><source>More models to average (model.json)</source>
<translation>Weitere Modelle zum Mitteln (model.json)</translation></message>
<message><source>More options for pip</source>
<translation>Weitere Optionen für pip</translation></message>
<message><source>More rasters</source>
<translation>Weitere Raster</translation></message>
<message><source>More rasters to learn from</source>
<translation>Weitere Raster, aus denen gelernt wird</translation></message>
<message><source>Most minutes that a training takes.</source>
<translation>So viele Minuten dauert ein Training höchstens.</translation></message>
<message><source>No Python interpreter with geopointseg is set.</source>
<translation>Es ist kein Python-Interpreter mit geopointseg eingestellt.</translation></message>
<message><source>No Python {needed} or newer was found; looked at: {seen}. Install one from python.org or your system's packages, then choose it here.</source>
<translation>Es wurde kein Python {needed} oder neuer gefunden; geprüft: {seen}. Installieren Sie eines von python.org oder aus den Paketen Ihres Systems und wählen Sie es hier.</translation></message>
<message><source>Number of folds</source>
<translation>Anzahl der Teile (Folds)</translation></message>
<message><source>Number of folds instead of a share</source>
<translation>Anzahl der Teile (Folds) statt eines Anteils</translation></message>
<message><source>Number of folds.</source>
<translation>Anzahl der Teile (Folds).</translation></message>
<message><source>Number of folds; with --by scene as many as scenes.</source>
<translation>Anzahl der Teile; mit --by scene so viele wie Szenen.</translation></message>
<message><source>Number of optimizer steps; 0 trains until the time budget is used.</source>
<translation>Anzahl der Optimierungsschritte; 0 trainiert, bis die Zeit verbraucht ist.</translation></message>
<message><source>Number of points</source>
<translation>Anzahl der Punkte</translation></message>
<message><source>Overall accuracy</source>
<translation>Gesamtgenauigkeit</translation></message>
<message><source>Overlap of neighbouring windows in pixels; -1 takes what the model needs.</source>
<translation>Überlappung benachbarter Fenster in Pixeln; -1 nimmt, was das Modell braucht.</translation></message>
<message><source>Overlap of windows (pixels)</source>
<translation>Überlappung der Fenster (Pixel)</translation></message>
<message><source>Package, wheel file or source folder to install</source>
<translation>Zu installierendes Paket, Wheel-Datei oder Quellordner</translation></message>
<message><source>Passed on to 'pip install', for example --index-url for another package source.</source>
<translation>Wird an „pip install“ weitergegeben, zum Beispiel --index-url für eine andere Paketquelle.</translation></message>
<message><source>Pick a class, then click on the map:</source>
<translation>Klasse wählen, dann in die Karte klicken:</translation></message>
<message><source>Placement of the points</source>
<translation>Platzierung der Punkte</translation></message>
<message><source>Points</source>
<translation>Punkte</translation></message>
<message><source>Points a class.</source>
<translation>Punkte je Klasse.</translation></message>
<message><source>Points in each class</source>
<translation>Punkte in jeder Klasse</translation></message>
<message><source>Points that are there already</source>
<translation>Punkte, die es schon gibt</translation></message>
<message><source>Points there are already; by default those that the model was trained on.</source>
<translation>Punkte, die es schon gibt; sonst die, mit denen das Modell gelernt hat.</translation></message>
<message><source>Points to suggest.</source>
<translation>Vorzuschlagende Punkte.</translation></message>
<message><source>Points to write.</source>
<translation>Zu schreibende Punkte.</translation></message>
<message><source>Points with known class</source>
<translation>Punkte mit bekannter Klasse</translation></message>
<message><source>Polygons to map (instead of an extent)</source>
<translation>Zu kartierende Polygone (statt einer Ausdehnung)</translation></message>
<message><source>Predict map</source>
<translation>Karte berechnen</translation></message>
<message><source>Pretrain without points</source>
<translation>Ohne Punkte vortrainieren</translation></message>
<message><source>Processor</source>
<translation>Prozessor</translation></message>
<message><source>Program 'python' that makes the environment; QGIS's own Python is not touched.</source>
<translation>Programm „python“, das die Umgebung anlegt; das Python von QGIS bleibt unberührt.</translation></message>
<message><source>Python 3.12 or newer (empty: search for one)</source>
<translation>Python 3.12 oder neuer (leer: danach suchen)</translation></message>
<message><source>Python interpreter that has geopointseg</source>
<translation>Python-Interpreter, der geopointseg hat</translation></message>
<message><source>Questionable points</source>
<translation>Fragliche Punkte</translation></message>
<message><source>Random seed</source>
<translation>Startwert des Zufalls</translation></message>
<message><source>Raster</source>
<translation>Raster</translation></message>
<message><source>Raster '{name}' comes from the provider '{provider}', which only QGIS can read; geopointseg needs a file. Save it with Export &gt; Save As… as a GeoTIFF (raw data) and choose that layer.</source>
<translation>Das Raster „{name}“ kommt vom Provider „{provider}“, den nur QGIS lesen kann; geopointseg braucht eine Datei. Speichern Sie es mit Export &gt; Speichern als… als GeoTIFF (Rohdaten) und wählen Sie diesen Layer.</translation></message>
<message><source>Raster '{name}' has no CRS, which is needed to place points and maps on the ground. Give the file one with 'Assign projection' (GDAL) and choose it again.</source>
<translation>Das Raster „{name}“ hat kein KBS; ohne KBS lassen sich Punkte und Karten nicht verorten. Geben Sie der Datei mit „Projektion zuweisen“ (GDAL) eines und wählen Sie sie erneut.</translation></message>
<message><source>Raster file that GDAL reads; may be given several times.</source>
<translation>Rasterdatei, die GDAL liest; es dürfen mehrere sein.</translation></message>
<message><source>Raster in which points lie; there may be several, of other dates and places too.</source>
<translation>Raster, in dem Punkte liegen; es dürfen mehrere sein, auch von anderen Tagen und Orten.</translation></message>
<message><source>Raster of classes</source>
<translation>Raster mit Klassen</translation></message>
<message><source>Raster that holds a class code in every pixel.</source>
<translation>Raster, das in jedem Pixel einen Klassencode hat.</translation></message>
<message><source>Raster that the training points lie on, for --applicability; the mapped one by default. May be given several times.</source>
<translation>Raster, auf dem die Trainingspunkte liegen, für --applicability; sonst das kartierte. Kann mehrmals angegeben werden.</translation></message>
<message><source>Raster to change</source>
<translation>Zu änderndes Raster</translation></message>
<message><source>Raster to learn from</source>
<translation>Raster, aus dem gelernt wird</translation></message>
<message><source>Raster to show in the report</source>
<translation>Raster, das der Bericht zeigt</translation></message>
<message><source>Raster to write.</source>
<translation>Zu schreibendes Raster.</translation></message>
<message><source>Raster whose values are changed, band by band; the file itself stays as it is.</source>
<translation>Raster, dessen Werte Kanal für Kanal geändert werden; die Datei selbst bleibt, wie sie ist.</translation></message>
<message><source>Raster, folder, or model folder, whose look is taken; may be given several times.</source>
<translation>Raster, Ordner oder Modellordner, dessen Aussehen übernommen wird; es dürfen mehrere sein.</translation></message>
<message><source>Rasters the model was trained on</source>
<translation>Raster, mit denen das Modell trainiert wurde</translation></message>
<message><source>Rasters to look like</source>
<translation>Raster, deren Aussehen übernommen wird</translation></message>
<message><source>Rasters without points</source>
<translation>Raster ohne Punkte</translation></message>
<message><source>Report</source>
<translation>Bericht</translation></message>
<message><source>Run 'Create environment' in the toolbox, or choose the Python that has geopointseg under Settings &gt; Options &gt; Processing &gt; Providers &gt; geopointseg.</source>
<translation>Starten Sie „Umgebung anlegen“ in der Werkzeugkiste, oder wählen Sie das Python mit geopointseg unter Einstellungen &gt; Optionen &gt; Verarbeitung &gt; Provider &gt; geopointseg.</translation></message>
<message><source>Run a small version: fewest seeds, shortest budget.</source>
<translation>Rechnet eine kleine Fassung: wenigste Startwerte, kürzeste Zeit.</translation></message>
<message><source>Run a study</source>
<translation>Studie ausführen</translation></message>
<message><source>Runs at the same time</source>
<translation>Gleichzeitige Läufe</translation></message>
<message><source>Runs at the same time.</source>
<translation>Läufe zur gleichen Zeit.</translation></message>
<message><source>Say whether points are usable on the rasters, before any training.</source>
<translation>Sagt vor jedem Training, ob die Punkte auf den Rastern brauchbar sind.</translation></message>
<message><source>Say whether this installation can do its work, and what is missing.</source>
<translation>Sagt, ob diese Installation arbeiten kann und was fehlt.</translation></message>
<message><source>Scenes without points that will be mapped; the model learns their look.</source>
<translation>Szenen ohne Punkte, die kartiert werden sollen; das Modell lernt ihr Aussehen.</translation></message>
<message><source>Seed of everything random.</source>
<translation>Startwert alles Zufälligen.</translation></message>
<message><source>Set-up</source>
<translation>Einrichtung</translation></message>
<message><source>Settings file (TOML)</source>
<translation>Einstellungsdatei (TOML)</translation></message>
<message><source>Settings file; see --print-config.</source>
<translation>Einstellungsdatei; siehe --print-config.</translation></message>
<message><source>Share kept for the test</source>
<translation>Anteil für den Test</translation></message>
<message><source>Share of points to keep for testing.</source>
<translation>Anteil der Punkte, der für den Test bleibt.</translation></message>
<message><source>Share of points with a wrong class.</source>
<translation>Anteil der Punkte mit falscher Klasse.</translation></message>
<message><source>Share of wrong labels</source>
<translation>Anteil falscher Klassen</translation></message>
<message><source>Show the model's training, calibration, origin and training points in the report.</source>
<translation>Zeigt im Bericht Training, Kalibrierung, Herkunft und Trainingspunkte des Modells.</translation></message>
<message><source>Show the scene of the map in the report.</source>
<translation>Zeigt im Bericht die Szene der Karte.</translation></message>
<message><source>Side of a block (m)</source>
<translation>Seitenlänge eines Blocks (m)</translation></message>
<message><source>Side of a block on the ground; by default the range of the labels' variogram.</source>
<translation>Seitenlänge eines Blocks im Gelände; sonst die Reichweite des Variogramms der Klassen.</translation></message>
<message><source>Side of a block; from the labels by default.</source>
<translation>Seitenlänge eines Blocks; sonst aus den Punkten bestimmt.</translation></message>
<message><source>Simulate points</source>
<translation>Punkte simulieren</translation></message>
<message><source>Simulated points</source>
<translation>Simulierte Punkte</translation></message>
<message><source>Small trial run</source>
<translation>Kleiner Probelauf</translation></message>
<message><source>Smallest distance between them.</source>
<translation>Kleinster Abstand zwischen ihnen.</translation></message>
<message><source>Smallest distance of two points.</source>
<translation>Kleinster Abstand zweier Punkte.</translation></message>
<message><source>Smallest patch (pixels)</source>
<translation>Kleinster Fleck (Pixel)</translation></message>
<message><source>Split points</source>
<translation>Aufgeteilte Punkte</translation></message>
<message><source>Split points by blocks of ground, so that test points lie on other ground than training points.</source>
<translation>Teilt Punkte nach Geländeblöcken auf, sodass Testpunkte auf anderem Gelände liegen als Trainingspunkte.</translation></message>
<message><source>Split points into training and test</source>
<translation>Punkte in Training und Test aufteilen</translation></message>
<message><source>Starting weights</source>
<translation>Startgewichte</translation></message>
<message><source>Starting weights: a name, a file, a folder made by 'pretrain', or 'none' for random ones.</source>
<translation>Startgewichte: ein Name, eine Datei, ein Ordner von „Ohne Punkte vortrainieren“ oder „none“ für zufällige.</translation></message>
<message><source>Study file (TOML)</source>
<translation>Studiendatei (TOML)</translation></message>
<message><source>Study folder</source>
<translation>Studienordner</translation></message>
<message><source>Suggest where the next points help most.</source>
<translation>Schlägt vor, wo die nächsten Punkte am meisten helfen.</translation></message>
<message><source>Suggest where to click next</source>
<translation>Nächste Klicks vorschlagen</translation></message>
<message><source>Suggested points</source>
<translation>Vorgeschlagene Punkte</translation></message>
<message><source>Test points, or a raster with the true classes.</source>
<translation>Testpunkte oder ein Raster mit den wahren Klassen.</translation></message>
<message><source>The folder {folder} holds other files. An environment needs a new or empty folder, or one made by 'Create environment' before. Choose another one.</source>
<translation>Der Ordner {folder} enthält andere Dateien. Eine Umgebung braucht einen neuen oder leeren Ordner oder einen, den „Umgebung anlegen“ früher gemacht hat. Wählen Sie einen anderen.</translation></message>
<message><source>The interpreter {path} does not exist.</source>
<translation>Den Interpreter {path} gibt es nicht.</translation></message>
<message><source>The interpreter {path} is not a program that may be executed.</source>
<translation>Der Interpreter {path} ist kein Programm, das ausgeführt werden darf.</translation></message>
<message><source>The layer for '{name}' cannot be opened: {given}. Choose another one.</source>
<translation>Der Layer für „{name}“ lässt sich nicht öffnen: {given}. Wählen Sie einen anderen.</translation></message>
<message><source>The points are usable</source>
<translation>Die Punkte sind brauchbar</translation></message>
<message><source>The program goes on writing; the rest is not shown.</source>
<translation>Das Programm schreibt weiter; der Rest wird nicht gezeigt.</translation></message>
<message><source>The program {program} could not be started: {reason}.</source>
<translation>Das Programm {program} konnte nicht gestartet werden: {reason}.</translation></message>
<message><source>This folder holds no model of geopointseg.</source>
<translation>Dieser Ordner enthält kein Modell von geopointseg.</translation></message>
<message><source>Train a model from rasters R and labelled points.</source>
<translation>Trainiert ein Modell aus Rastern R und Punkten mit bekannter Klasse.</translation></message>
<message><source>Train model</source>
<translation>Modell trainieren</translation></message>
<message><source>Training steps instead of time</source>
<translation>Trainingsschritte statt Zeit</translation></message>
<message><source>Training time (minutes)</source>
<translation>Trainingszeit (Minuten)</translation></message>
<message><source>Uncertainty</source>
<translation>Unsicherheit</translation></message>
<message><source>Unlikeness to the training points</source>
<translation>Unähnlichkeit zu den Trainingspunkten</translation></message>
<message><source>Validate by spatial blocks</source>
<translation>Mit räumlichen Blöcken validieren</translation></message>
<message><source>Vary factors, train and assess again and again, and write the report.</source>
<translation>Variiert Faktoren, trainiert und bewertet immer wieder und schreibt den Bericht.</translation></message>
<message><source>Vector file with labelled points (GeoPackage first).</source>
<translation>Vektordatei mit Punkten bekannter Klasse (am besten GeoPackage).</translation></message>
<message><source>Vector layer with labelled points; selected features only, memory layers and unsaved edits work. Polygons count with every pixel inside.</source>
<translation>Vektorlayer mit Punkten bekannter Klasse; nur gewählte Objekte, Temporärlayer und ungespeicherte Änderungen gehen. Polygone zählen mit jedem Pixel darin.</translation></message>
<message><source>Version of geopointseg</source>
<translation>Version von geopointseg</translation></message>
<message><source>Weights folder</source>
<translation>Ordner der Gewichte</translation></message>
<message><source>What is held out in turn</source>
<translation>Was reihum zurückgehalten wird</translation></message>
<message><source>What pip installs: a package name with or without version, a wheel file, or a folder.</source>
<translation>Was pip installiert: ein Paketname mit oder ohne Version, eine Wheel-Datei oder ein Ordner.</translation></message>
<message><source>What runs the network; auto measures and keeps the fastest that agrees with torch.</source>
<translation>Womit das Netz rechnet; auto misst und behält das Schnellste, das mit torch übereinstimmt.</translation></message>
<message><source>What the recipe trains, as for 'train'.</source>
<translation>Was das Rezept trainiert, wie bei 'train'.</translation></message>
<message><source>What to train; auto keeps what is best on held-out points and says why.</source>
<translation>Was trainiert wird; auto behält, was auf zurückgehaltenen Punkten am besten ist, und sagt warum.</translation></message>
<message><source>Where networks run; auto takes a GPU where there is one.</source>
<translation>Wo Netze rechnen; auto nimmt eine GPU, wenn es eine gibt.</translation></message>
<message><source>Where points are put.</source>
<translation>Wohin Punkte gesetzt werden.</translation></message>
<message><source>Why this kind of model was kept</source>
<translation>Warum diese Art von Modell behalten wurde</translation></message>
<message><source>With --invariant: mix the bands linearly before, for images of different cameras.</source>
<translation>Mit --invariant: mischt zuvor die Kanäle linear, für Bilder verschiedener Kameras.</translation></message>
<message><source>Write a georeferenced class map of rasters with one or more models.</source>
<translation>Schreibt mit einem oder mehreren Modellen eine georeferenzierte Klassenkarte von Rastern.</translation></message>
<message><source>Write questionable points here, with reasons.</source>
<translation>Schreibt hierhin fragliche Punkte mit Gründen.</translation></message>
<message><source>geopointseg ended with code {code} and without a result that this plugin understands. Plugin and geopointseg must fit together: upgrade both, then run 'Check environment'.</source>
<translation>geopointseg endete mit Code {code} und ohne ein Ergebnis, das dieses Plugin versteht. Plugin und geopointseg müssen zueinander passen: Erneuern Sie beide und starten Sie „Umgebung prüfen“.</translation></message>
<message><source>geopointseg was killed in the middle of its work (signal {code}), most often because memory ran out. No output was written. Close other programs or use smaller rasters.</source>
<translation>geopointseg wurde mitten in der Arbeit beendet (Signal {code}), meist weil der Speicher ausging. Es wurde kein Ergebnis geschrieben. Schließen Sie andere Programme oder verwenden Sie kleinere Raster.</translation></message>
</context></TS>
