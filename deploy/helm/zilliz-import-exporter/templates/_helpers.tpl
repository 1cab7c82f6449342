{{- /* The name of all objects: the release's, which holds the chart's where it does not already. */ -}}
{{- define "exporter.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "exporter.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "exporter.labels" -}}
{{ include "exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* A file of the repository with this release's addresses. Its text is no template: alerts contain double braces. */ -}}
{{- define "exporter.file" -}}
{{- $values := .root.Values -}}
{{- $runbooks := "https://github.com/zilliztech/zilliz-import-exporter/blob/main/docs/runbooks.md" -}}
{{- .root.Files.Get .path | replace "http://localhost:3000" (trimSuffix "/" $values.grafanaUrl) | replace $runbooks $values.runbooksUrl -}}
{{- end -}}
