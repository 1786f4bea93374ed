"""Names of countries in English, as people enter them into forms, and the codes that Attentive accepts.

Source: ISO 3166-1, alpha-2 codes.
"""

from typing import Final

_NAMES: Final = """
AF Afghanistan|AL Albania|DZ Algeria|AS American Samoa|AD Andorra|AO Angola|AI Anguilla|AQ Antarctica
AG Antigua and Barbuda|AR Argentina|AM Armenia|AW Aruba|AU Australia|AT Austria|AZ Azerbaijan|BS Bahamas, The Bahamas
BH Bahrain|BD Bangladesh|BB Barbados|BY Belarus|BE Belgium|BZ Belize|BJ Benin|BM Bermuda|BT Bhutan|BO Bolivia
BQ Bonaire, Caribbean Netherlands|BA Bosnia and Herzegovina|BW Botswana|BV Bouvet Island|BR Brazil
IO British Indian Ocean Territory|BN Brunei, Brunei Darussalam|BG Bulgaria|BF Burkina Faso|BI Burundi
CV Cabo Verde, Cape Verde|KH Cambodia|CM Cameroon|CA Canada|KY Cayman Islands|CF Central African Republic|TD Chad
CL Chile|CN China|CX Christmas Island|CC Cocos Islands|CO Colombia|KM Comoros
CG Republic of the Congo, Congo-Brazzaville|CD Democratic Republic of the Congo, DR Congo|CK Cook Islands
CR Costa Rica|CI Ivory Coast, Côte d'Ivoire, Cote d'Ivoire|HR Croatia|CU Cuba|CW Curaçao, Curacao|CY Cyprus
CZ Czechia, Czech Republic|DK Denmark|DJ Djibouti|DM Dominica|DO Dominican Republic|EC Ecuador|EG Egypt
SV El Salvador|GQ Equatorial Guinea|ER Eritrea|EE Estonia|SZ Eswatini, Swaziland|ET Ethiopia|FK Falkland Islands
FO Faroe Islands|FJ Fiji|FI Finland|FR France|GF French Guiana|PF French Polynesia|TF French Southern Territories
GA Gabon|GM Gambia, The Gambia|GE Georgia|DE Germany|GH Ghana|GI Gibraltar|GR Greece|GL Greenland|GD Grenada
GP Guadeloupe|GU Guam|GT Guatemala|GG Guernsey|GN Guinea|GW Guinea-Bissau|GY Guyana|HT Haiti
HM Heard Island and McDonald Islands|VA Vatican City, Holy See|HN Honduras|HK Hong Kong|HU Hungary|IS Iceland|IN India
ID Indonesia|IR Iran|IQ Iraq|IE Ireland, Republic of Ireland|IM Isle of Man|IL Israel|IT Italy|JM Jamaica|JP Japan
JE Jersey|JO Jordan|KZ Kazakhstan|KE Kenya|KI Kiribati|KP North Korea|KR South Korea, Republic of Korea|KW Kuwait
KG Kyrgyzstan|LA Laos|LV Latvia|LB Lebanon|LS Lesotho|LR Liberia|LY Libya|LI Liechtenstein|LT Lithuania|LU Luxembourg
MO Macao, Macau|MG Madagascar|MW Malawi|MY Malaysia|MV Maldives|ML Mali|MT Malta|MH Marshall Islands|MQ Martinique
MR Mauritania|MU Mauritius|YT Mayotte|MX Mexico|FM Micronesia|MD Moldova|MC Monaco|MN Mongolia|ME Montenegro
MS Montserrat|MA Morocco|MZ Mozambique|MM Myanmar, Burma|NA Namibia|NR Nauru|NP Nepal
NL Netherlands, The Netherlands, Holland|NC New Caledonia|NZ New Zealand|NI Nicaragua|NE Niger|NG Nigeria|NU Niue
NF Norfolk Island|MK North Macedonia, Macedonia|MP Northern Mariana Islands|NO Norway|OM Oman|PK Pakistan|PW Palau
PS Palestine|PA Panama|PG Papua New Guinea|PY Paraguay|PE Peru|PH Philippines, The Philippines|PN Pitcairn|PL Poland
PT Portugal|PR Puerto Rico|QA Qatar|RE Réunion, Reunion|RO Romania|RU Russia, Russian Federation|RW Rwanda
BL Saint Barthélemy, Saint Barthelemy|SH Saint Helena|KN Saint Kitts and Nevis|LC Saint Lucia|MF Saint Martin
PM Saint Pierre and Miquelon|VC Saint Vincent and the Grenadines|WS Samoa|SM San Marino
ST Sao Tome and Principe, São Tomé and Príncipe|SA Saudi Arabia|SN Senegal|RS Serbia|SC Seychelles|SL Sierra Leone
SG Singapore|SX Sint Maarten|SK Slovakia|SI Slovenia|SB Solomon Islands|SO Somalia|ZA South Africa
GS South Georgia and the South Sandwich Islands|SS South Sudan|ES Spain|LK Sri Lanka|SD Sudan|SR Suriname
SJ Svalbard and Jan Mayen|SE Sweden|CH Switzerland|SY Syria|TW Taiwan|TJ Tajikistan|TZ Tanzania|TH Thailand
TL Timor-Leste, East Timor|TG Togo|TK Tokelau|TO Tonga|TT Trinidad and Tobago|TN Tunisia|TR Turkey, Türkiye, Turkiye
TM Turkmenistan|TC Turks and Caicos Islands|TV Tuvalu|UG Uganda|UA Ukraine|AE United Arab Emirates
GB United Kingdom, Great Britain, UK, U.K., England, Scotland, Wales, Northern Ireland
US United States, United States of America, The United States, U.S., U.S.A., America
UM United States Minor Outlying Islands|UY Uruguay|UZ Uzbekistan|VU Vanuatu|VE Venezuela|VN Vietnam, Viet Nam
VG British Virgin Islands|VI U.S. Virgin Islands, US Virgin Islands|WF Wallis and Futuna|EH Western Sahara|YE Yemen
ZM Zambia|ZW Zimbabwe|AX Åland Islands, Aland Islands
"""

COUNTRIES: Final = {  # code by name, in lower case
    name.casefold(): entry[:2]
    for line in _NAMES.split("\n")
    for entry in line.split("|")
    for name in entry[3:].split(", ")
    if name
}
